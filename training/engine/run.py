"""One run: its parts, where it is, and how it begins or resumes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import keras

from keras_convnext._messages import say

from ..data.source import Source
from ..recipes.recipe import Recipe
from ..tasks.distillation import learn_from
from ..tasks.task import Evaluation, Measure, Probe, Rows, Task
from ..workdir.checkpoints import Checkpoints, TrainProgress
from ..workdir.layout import Workdir
from . import first_step, teacher, train_state
from .train_state import TrainState

# Called where a run may stop: raises Interrupted where it is to.
Check = Callable[[], None]
TakeEpoch = Callable[[keras.callbacks.CallbackList, Check], None]


class Backend(Protocol):
    """What takes the steps of a run: all in which TensorFlow and JAX differ."""

    @property
    def replicas(self) -> int:
        """Devices that share a batch."""

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes and speaks."""

    @property
    def checkpoint_seconds(self) -> float:
        """How long the end of an epoch goes without a checkpoint, at most."""

    def describe(self) -> str:
        """Returns the devices in a few words."""

    def scope(self) -> AbstractContextManager[Any]:
        """Returns a context in which variables are made."""

    def any_worker(self, flag: bool) -> bool:
        """Returns True if the flag is set in any process; all get the same answer."""

    def load(
        self, task: Task, data: str, recipe: Recipe, skip_bad_images: bool
    ) -> Source:
        """Returns the data, made as the recipe's weights are used to; see `Task.load`.

        Raises:
            DataError: They cannot be used; says all that is wrong.
        """

    def make_epoch(self, run: Run) -> TakeEpoch:
        """Returns a function that takes the steps that the run's epoch still has.

        It notes them with `run.note_steps`, tells the callbacks, and calls the check
        where the run may stop within an epoch.
        """

    def make_evaluation(
        self, run: Run, model: keras.Model, measure: Measure
    ) -> Callable[[Check], Iterator[Rows]]:
        """Returns a function that gives the rows of every validation example.

        Args:
            run: Its source and batch are used.
            model: What is evaluated, with the weights of the moment.
            measure: From the model's outputs and the truth to rows.
        """


@dataclass
class Run:
    """One run under way.

    Attributes:
        recipe: Its numbers.
        task: What it is trained for.
        source: Its data.
        workdir: Where it leaves everything.
        backend: What takes its steps.
        train_state: What learns.
        checkpoints: Of the train state.
        teacher: What the student learns from beside the truth, or None. No checkpoint
            holds it.
        teacher_figures: The teacher's evaluation on the validation images, as the
            student sees them.
        progress: Where the run is.
        seconds_before: Time spent in earlier sessions.
        began: When this session began, as `time.monotonic` has it.
        saved: When its newest checkpoint was written, or it began.
        settle: Gives the train state's variables what the steps have made of them,
            where the backend keeps that elsewhere within an epoch.
    """

    recipe: Recipe
    task: Task
    source: Source
    workdir: Workdir
    backend: Backend
    train_state: TrainState
    checkpoints: Checkpoints
    teacher: keras.Model | None = None
    teacher_figures: Mapping[str, float] = field(default_factory=dict)
    progress: TrainProgress = field(default_factory=TrainProgress)
    seconds_before: float = 0.0
    began: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)
    settle: Callable[[], None] = lambda: None

    @property
    def steps_per_epoch(self) -> int:
        """Steps that one epoch takes."""
        return self.source.steps_per_epoch(self.recipe.global_batch)

    def make_evaluation(
        self, model: keras.Model, measure: Measure
    ) -> Callable[[Check], Evaluation]:
        """Returns a function that evaluates a model on the validation examples."""
        with self.backend.scope():
            asked = self.task.evaluated_model(model)
        rows_of = self.backend.make_evaluation(self, asked, measure)
        return lambda check: self.task.evaluate(rows_of(check), self.source)

    def make_probe(self, model: keras.Model) -> Probe:
        """Returns a function that gives what the task measures now and then."""
        return self.task.make_probe(self.recipe, self.source, model)

    def note_steps(self, count: int, sums: Mapping[str, float]) -> None:
        """Notes steps that were taken, and adds sums over them to the epoch's."""
        before = self.progress.totals
        self.progress = replace(
            self.progress,
            batch=self.progress.batch + count,
            step=self.progress.step + count,
            totals={name: before.get(name, 0.0) + sums[name] for name in sums},
            # Of other weights than these.
            score=None,
        )

    def finish_epoch(self, evaluation: Evaluation) -> None:
        """Goes on to the next epoch."""
        metric = self.task.metric
        self.progress = replace(
            self.progress,
            epoch=self.progress.epoch + 1,
            batch=0,
            totals={},
            score=metric.score(evaluation.figures[metric.figure]),
        )

    def seconds_since_saved(self) -> float:
        """Returns how old the newest checkpoint of this session is."""
        return time.monotonic() - self.saved

    def is_out_of_patience(self) -> bool:
        """Returns True if the best epoch is too long ago; all workers hear the same."""
        if self.recipe.patience is None:
            return False
        best = self.checkpoints.best_epoch()
        waits = best is not None and self.progress.epoch - best >= self.recipe.patience
        return self.backend.any_worker(self.backend.is_chief and waits)

    def put_back_best(self) -> int:
        """Gives the train state the weights of the best epoch.

        Returns:
            The epoch that they are from, counted from 1.
        """
        # Wait for the chief: it may still be writing the last checkpoint.
        self.backend.any_worker(False)
        best = self.checkpoints.best()
        if best is None:
            return self.progress.epoch
        return self.checkpoints.put_back(best).epoch

    def save(self) -> None:
        """Writes a checkpoint; the chief does, for all workers.

        Raises:
            UsageError: It cannot be written, or not be uploaded.
        """
        self.settle()
        self.saved = time.monotonic()
        rate = self.train_state.rate
        self.progress = replace(
            self.progress,
            seconds=self.seconds_before + self.saved - self.began,
            learning_rate=None if rate is None else rate.value,
        )
        if self.backend.is_chief:
            self.checkpoints.save(self.progress)
            self.workdir.upload()


def begin(
    recipe: Recipe, task: Task, source: Source, workdir: Workdir, backend: Backend
) -> Run:
    """Builds what learns, and puts the newest checkpoint back where there is one.

    Args:
        recipe: The run's numbers.
        task: What it is trained for.
        source: The data.
        workdir: The run's folder, already claimed.
        backend: What takes the steps.

    Raises:
        UsageError: The recipe makes no network, or does not fit the devices.
    """
    larger = first_step.check_batch(recipe, source.train_examples, backend.replicas)
    if larger and backend.is_chief:
        say(larger)
    steps = recipe.epochs * source.steps_per_epoch(recipe.global_batch)
    taught_by = None
    if recipe.teacher:
        taught_by = teacher.load(recipe, source, backend.scope)
        task = learn_from(task, recipe, taught_by)
    with backend.scope():
        made = train_state.make(recipe, task, source, steps)
    checkpoints = Checkpoints(
        workdir.checkpoints, made.variables(), recipe.keep_checkpoints
    )
    if backend.is_chief:
        checkpoints.tidy()
    run = Run(recipe, task, source, workdir, backend, made, checkpoints, taught_by)
    restored = run.checkpoints.restore()
    if restored is not None:
        run.progress, notices = restored
        run.seconds_before = run.progress.seconds
        if made.rate is not None:
            made.rate.set(run.progress.learning_rate)
        for notice in notices if backend.is_chief else ():
            say(notice)
    if taught_by is not None and teacher.gives_logits(recipe):
        evaluate = run.make_evaluation(taught_by, task.measure)
        run.teacher_figures = evaluate(lambda: None).metrics
        if backend.is_chief:
            top1 = run.teacher_figures["top1"]
            say(f"teacher {recipe.teacher}: validation accuracy {top1:.2%}")
    return run
