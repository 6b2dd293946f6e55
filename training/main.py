"""`python -m training.main`: trains a ConvNeXt from a recipe and images."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from keras_convnext import _cli
from keras_convnext._messages import (
    Interrupted,
    UsageError,
    checked,
    say,
    warnings_as_lines,
)
from keras_convnext._stderr import hold_stderr

from .engine import cluster, distribution
from .recipes import flag_hints
from .report import finished, run_log
from .workdir import remote
from .workdir.layout import Workdir, identity

if TYPE_CHECKING:
    # Importing them loads Keras, which is to be done quietly.
    from keras.callbacks import Callback

    from .data.source import Source
    from .engine.run import Backend, Run
    from .recipes.recipe import Recipe
    from .tasks.task import Task

    OpenBackend = Callable[[Recipe], Backend]

COMMAND = "train"
# Full, above a quota, read-only, broken; or a limit on the length of files.
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)
SUMMARY = """Trains a ConvNeXt; writes the model, its metrics and a report.

  python -m training.main --recipe=finetune_small --data=folder:photos \\
      --weights=convnext_tiny.fb_in22k_ft_in1k --workdir=runs/photos

The same command, or --workdir alone, resumes where an interrupted run stopped."""


def options() -> _cli.FlagValues:
    """Returns the command's flags."""
    flags = _cli.Flags()
    flags.recipe("a recipe's name (required for a new run); help lists them")
    flags.data("; without labels: images:DIR (required for a new run)")
    flags.text("workdir", None, "folder or URL for the run's outputs (required)")
    flags.text("weights", None, "a published name, a file, a workdir, or none")
    flags.text("devices", "all", distribution.FORMS)
    flags.skip_bad_images()
    flags.switch("dry_run", False, "tell what the run would be, and write nothing")
    flags.switch("tensorboard", False, "write WORKDIR/tensorboard")
    flags.text("log_to", None, "wandb, mlflow or both: send all metrics there, too")
    flags.text("profile_steps", None, "first and last step to profile, such as 10,20")
    return flags.values


def _train(chosen: _cli.FlagValues) -> int:
    if chosen.recipe == "help":
        # It loads Keras, and that has its say on stderr.
        with hold_stderr():
            from .engine.planning import list_plans
            from .recipes.listing import list_recipes
        say(list_plans() if chosen.dry_run else list_recipes())
        return 0
    workdir = remote.open_workdir(chosen.workdir or "")
    stored = workdir.stored() if chosen.workdir else None
    if stored is None:
        _cli.require(chosen, ("recipe", "data", "workdir"))
        stored = {}
    workdir.check_writable()
    # The run that lives there says what is not given.
    chosen.data = chosen.data or stored.get("data")
    if _is_under_jax():
        open_backend, processes = _jax(chosen)
    else:
        processes = checked(cluster.read)
        open_backend = _tensorflow(chosen, processes)
    from .data import stream_flaws

    if processes.workers > 1 and remote.is_url(chosen.workdir):
        raise UsageError(
            f"--workdir={chosen.workdir} is for one process, and "
            f"{processes.workers} train together: give a folder that all of them see"
        )
    with stream_flaws.count_flawed_images(chosen.data):
        return _train_with(open_backend, processes, chosen, workdir, stored)


def _train_with(
    open_backend: OpenBackend,
    processes: cluster.Cluster,
    chosen: _cli.FlagValues,
    workdir: Workdir,
    stored: dict[str, Any],
) -> int:
    from .engine.run import begin
    from .tasks import find_task

    recipe = checked(_recipe, chosen, stored)
    watchers = checked(_watchers, chosen)
    task = find_task(recipe)
    run_identity = identity(recipe, chosen.data)
    done = checked(finished.words, workdir, run_identity, task.metric)
    if done is not None:
        say(done)
        return 0
    for line in run_log.of_changes(recipe, chosen.recipe, chosen.set):
        if processes.is_chief:
            say(line)
    backend = open_backend(recipe)
    source = checked(backend.load, task, chosen.data, recipe, chosen.skip_bad_images)
    if backend.is_chief:
        run_log.say_what_was_found(source, recipe.class_balance)
    if chosen.dry_run:
        return _tell(recipe, task, source, workdir, backend)
    if backend.is_chief:
        # A folder may have got or lost images since the run began.
        workdir.claim({**run_identity, **source.counts()}, source.classes)
    with _explain_lost(processes):
        with _given_back(workdir, backend):
            run = begin(recipe, task, source, workdir, backend)
            watching = watchers(workdir) if backend.is_chief else []
        if not backend.is_chief:
            return _follow(run)
        with _resume_hint(run):
            return _lead(run, watching)


def _tell(
    recipe: Recipe, task: Task, source: Source, workdir: Workdir, backend: Backend
) -> int:
    """Tells what the run would be; nothing is written."""
    from .engine import dry_run

    if not backend.is_chief:
        return 0
    for line in dry_run.describe(recipe, task, source, workdir, backend):
        say(line)
    return 0


def _is_under_jax() -> bool:
    return os.environ.get("KERAS_BACKEND") == "jax"


def _explain_lost(
    processes: cluster.Cluster,
) -> contextlib.AbstractContextManager[None]:
    if not _is_under_jax():
        return distribution.explain_lost_workers(processes)
    from .jax_engine.lost_processes import explain_lost_processes

    return explain_lost_processes(processes)


def _tensorflow(chosen: _cli.FlagValues, processes: cluster.Cluster) -> OpenBackend:
    """Loads TensorFlow, and returns what opens the devices."""
    devices = checked(distribution.parse, chosen.devices)
    _cli.import_tensorflow()

    def open_backend(recipe: Recipe) -> Backend:
        from .engine import pretrained
        from .engine.tensorflow_backend import TensorFlowBackend

        # First of all: logical processors cannot be made once TensorFlow has run.
        strategy = checked(distribution.make_strategy, devices, processes)
        backend = TensorFlowBackend(strategy, processes)
        # What only may not fit is said when the classes are known.
        backend.check_memory(recipe)
        if not chosen.dry_run:
            with warnings_as_lines(say if processes.is_chief else None):
                pretrained.fetch(recipe)
        return backend

    return open_backend


def _jax(chosen: _cli.FlagValues) -> tuple[OpenBackend, cluster.Cluster]:
    """Loads JAX, and returns what opens the devices, and this process among others."""
    if chosen.profile_steps is not None:
        raise UsageError("--profile_steps is not supported with the JAX backend")
    devices = checked(distribution.parse, chosen.devices)
    processes, address = checked(cluster.read_jax)
    _cli.import_jax()

    def open_backend(recipe: Recipe) -> Backend:
        from .engine import pretrained
        from .jax_engine import backend, stream
        from .jax_engine.devices import open_devices

        backend.check(recipe, chosen.data)
        if backend.has_tensorflow():
            stream.leave_accelerators()
        opened = backend.JaxBackend(checked(open_devices, devices, processes, address))
        opened.check_memory(recipe)
        if not chosen.dry_run:
            with warnings_as_lines(say if processes.is_chief else None):
                pretrained.fetch(recipe)
        return opened

    return open_backend, processes


@contextlib.contextmanager
def _given_back(workdir: Workdir, backend: Backend) -> Iterator[None]:
    """Gives the folder back where a run cannot begin in it.

    Raises:
        UsageError: It cannot; the text says why.
    """
    try:
        with warnings_as_lines(say if backend.is_chief else None):
            yield
    except UsageError:
        if backend.is_chief:
            workdir.release()
        raise


@contextlib.contextmanager
def _resume_hint(run: Run) -> Iterator[None]:
    """Makes a line of what ends a run from outside; its checkpoints stay as they are.

    Raises:
        UsageError: The disk refused something.
        Interrupted: Somebody was in a hurry.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(f"interrupted; {run.checkpoints.resume_hint()}.") from error
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise
        raise UsageError(
            f"cannot write {error.filename or 'to the disk'} ({error.strerror}); once "
            f"there is room, {run.checkpoints.resume_hint()}"
        ) from error


def _recipe(chosen: _cli.FlagValues, stored: dict[str, Any]) -> Recipe:
    """Returns the recipe that the flags describe; `--set` has the last word.

    Args:
        chosen: The flags. Without `--recipe` it is the workdir's.
        stored: What the workdir's `recipe.json` holds; empty where there is none.

    Raises:
        ValueError: They describe none.
    """
    from .engine import pretrained
    from .recipes import overrides, table
    from .recipes import recipe as recipe_file

    row = table.RECIPES.get(chosen.recipe or stored.get("name", ""))
    changes = pretrained.with_weights(list(chosen.set), chosen.weights, row)
    if chosen.recipe:
        recipe = table.resolve(chosen.recipe, changes)
    else:
        there = recipe_file.from_json(stored)
        recipe = overrides.apply_overrides(there, changes, fixed=("name",))
    pretrained.check(recipe)
    return recipe


def _watchers(chosen: _cli.FlagValues) -> Callable[[Workdir], list[Callback]]:
    """Returns the function that makes the callbacks of the flags."""
    trackers: list[Callable[[Workdir], Callback]] = []
    if chosen.log_to:
        from .report.trackers import TRACKERS, parse

        trackers = [TRACKERS[name] for name in parse(chosen.log_to)]
    if not (chosen.tensorboard or chosen.profile_steps):
        return lambda workdir: [tracker(workdir) for tracker in trackers]
    from .report import tensorboard

    steps = chosen.profile_steps and tensorboard.parse_steps(chosen.profile_steps)

    def make(workdir: Workdir) -> list[Callback]:
        made = [tracker(workdir) for tracker in trackers]
        if chosen.tensorboard:
            made.append(tensorboard.Summaries(workdir.tensorboard))
        if steps:
            made.append(tensorboard.Profile(workdir.tensorboard, *steps))
        return made

    return make


def _follow(run: Run) -> int:
    """Takes part in the steps; the chief writes and speaks for all."""
    from .engine import finish, trainer

    trainer.train(run)
    finish.leave(run, [])
    return 0


def _lead(run: Run, watchers: list[Callback]) -> int:
    from .engine import finish, trainer
    from .workdir.history import HistoryFile

    run_log.say_what_begins(
        run.recipe,
        run.source,
        run.progress,
        run.train_state.model.count_params(),
        run.backend.describe(),
    )
    history = HistoryFile(run.workdir.history, run.progress.epoch)
    trainer.train(run, [history, *watchers, _progress(run)])
    if run.progress.epoch < run.recipe.epochs and run.is_out_of_patience():
        say(
            f"ended after epoch {run.progress.epoch} of {run.recipe.epochs}: none of "
            f"the last {run.recipe.patience} was better"
        )
    started = time.monotonic()
    metrics = finish.leave(run, history.rows)
    run.workdir.upload()
    seconds = time.monotonic() - started
    run_log.say_what_came_out(run.workdir, run.task.metric, metrics, seconds)
    return 0


def _progress(run: Run) -> Callback:
    """Returns the callback that shows progress."""
    from .report.progress import EpochLines, Progress

    if _is_under_jax() and run.backend.checkpoint_seconds:
        # An epoch in memory is one call.
        return EpochLines(run.recipe.epochs, run.task.metric)
    return Progress(
        run.recipe.epochs,
        run.steps_per_epoch,
        run.recipe.global_batch,
        run.progress.step,
        metric=run.task.metric,
        evaluation_images=run.source.validation_examples,
    )


command = _cli.Command(COMMAND, SUMMARY, options, _train, suggest=flag_hints.suggest)
main = command.main
run = command.run


if __name__ == "__main__":
    run()
