"""The runs of a road: every step from every seed, one after another, each kept."""

from __future__ import annotations

import gc
import json
import shutil
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_convnext import _files, roadmap
from keras_convnext._messages import UsageError, say

from ..data.source import Source
from ..engine import trainer
from ..recipes import overrides
from ..recipes import table as recipes
from ..recipes.augmentation import Augmentation
from ..recipes.table import Recipe
from ..report.progress import Progress, clock
from ..tasks import CLASSIFICATION
from ..workdir.history import HistoryFile
from ..workdir.layout import Workdir, identity

# A few minutes of a processor for each network, from random weights. No moving average
# of the weights and one initialization for all. Source: arXiv:2201.03545, appendix A.1.
SMALL = Recipe(
    name="roadmap_small",
    variant="convnext_tiny",
    size_px=32,
    patch_size=2,
    epochs=3,
    warmup_epochs=0.5,
    global_batch=64,
    peak_lr=2e-3,
    clip_norm=1.0,
    augmentation=Augmentation(flip=True),
)


@dataclass(frozen=True)
class StepSummary:
    """What the runs of one step gave.

    Attributes:
        step: One of `roadmap.STEPS`.
        top1: Accuracy of each run, 0..1.
        parameters: Of the network that was trained.
        multiply_accumulates: Likewise, of one image.
        paper: What the paper prints for the full-sized step.
    """

    step: str
    top1: tuple[float, ...]
    parameters: int
    multiply_accumulates: int
    paper: Any

    @property
    def mean(self) -> float:
        """Mean accuracy over the seeds."""
        return statistics.fmean(self.top1)

    @property
    def spread(self) -> float | None:
        """Standard deviation over the seeds; None for a single one."""
        return statistics.stdev(self.top1) if len(self.top1) > 1 else None


@dataclass(frozen=True)
class Road:
    """Which networks are trained; the recipe says how.

    Attributes:
        regime: One of `roadmap.REGIMES`.
        depth_factor: Factor on the blocks of every step, in (0, 1].
        width_factor: Factor on the channels of every step, in (0, 1].
    """

    regime: str = "resnet50"
    depth_factor: float = 1.0
    width_factor: float = 1.0


@dataclass(frozen=True)
class Result:
    """What came out of one run.

    Attributes:
        step: One of `roadmap.STEPS`.
        seed: Of the initial weights, the order and the augmentation.
        top1: Top-1 accuracy on the validation images after the last epoch.
        loss: Mean cross-entropy on them, in nats.
        training_loss: Mean over the last epoch, label smoothing included.
        parameters: Trainable parameters.
        multiply_accumulates: Of one image: convolutions and dense layers.
        seconds: Time spent training.
    """

    step: str
    seed: int
    top1: float
    loss: float
    training_loss: float
    parameters: int
    multiply_accumulates: int
    seconds: float


@dataclass(frozen=True)
class RoadFolder:
    """The folder of a road's runs.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def settings(self) -> Path:
        """The road, the resolved recipe and the data."""
        return self.path / "recipe.json"

    @property
    def summary(self) -> Path:
        """Every result so far, with the settings."""
        return self.path / "roadmap.json"

    @property
    def figure(self) -> Path:
        """The paper's figure 2, drawn from the results."""
        return self.path / "roadmap.png"

    @property
    def table(self) -> Path:
        """The results in words."""
        return self.path / "roadmap.md"

    def result(self, step: str, seed: int) -> Path:
        """Returns the result file of one run."""
        return self.path / "results" / f"{step}_seed{seed}.json"

    def run(self, step: str, seed: int) -> Path:
        """Returns the folder of one run's history and checkpoints."""
        return self.path / "runs" / f"{step}_seed{seed}"


def recipe(name: str, changes: Sequence[str] = ()) -> Recipe:
    """Returns a recipe for the road: its own, or one of the table's.

    Args:
        name: "roadmap_small", or a key of `recipes.RECIPES`.
        changes: Texts like "epochs=30".

    Raises:
        ValueError: There is no such recipe, or a change does not fit.
    """
    if name == SMALL.name:
        return overrides.apply_overrides(SMALL, changes, fixed=("name", "variant"))
    return recipes.resolve(name, changes)


def settings_of(road: Road, recipe: Recipe, data: str) -> dict[str, Any]:
    """Returns the settings that all results of a folder share, as JSON values."""
    return {**identity(recipe, data), "variant": None, **asdict(road)}


def check(recipe: Recipe) -> None:
    """Makes sure that a recipe suits networks with batch norm.

    Raises:
        UsageError: It does not; all that is wrong is named.
    """
    problems = []
    if recipe.ema_decay is not None:
        problems.append(
            "a moving average of the weights leaves out batch norm's statistics; "
            "--set ema_decay=none, as the paper has it for the road"
        )
    if recipe.weights is not None:
        problems.append("only the last step has published weights; --set weights=none")
    if problems:
        raise UsageError(f"recipe {recipe.name}: {'; '.join(problems)}")


def train_missing(
    folder: RoadFolder,
    road: Road,
    recipe: Recipe,
    source: Source,
    strategy: tf.distribute.Strategy,
    steps: Sequence[str],
    seeds: Sequence[int],
) -> None:
    """Trains what has no result yet: every step from the first seed, then the next.

    Args:
        folder: Already claimed.
        road: Which networks.
        recipe: How all of them are trained.
        source: What on.
        strategy: What to spread the work by.
        steps: Some of `roadmap.STEPS`.
        seeds: Added to the recipe's.

    Raises:
        UsageError: The recipe makes no network, or the loss is no longer a number.
        Interrupted: Ctrl-C or SIGTERM; the same call resumes.
    """
    wanted = [(step, recipe.seed + seed) for seed in seeds for step in steps]
    for number, (step, seed) in enumerate(wanted, start=1):
        if folder.result(step, seed).is_file():
            continue
        say(f"{step}, seed {seed} (run {number} of {len(wanted)})")
        _run(folder, road, replace(recipe, seed=seed), source, strategy, step)
        # Each network's graph and variables would otherwise stay until the end.
        keras.utils.clear_session(free_memory=False)
        gc.collect()


def _run(
    folder: RoadFolder,
    road: Road,
    recipe: Recipe,
    source: Source,
    strategy: tf.distribute.Strategy,
    step: str,
) -> None:
    """Trains one network, or resumes its run, and writes its result."""
    workdir = Workdir(folder.run(step, recipe.seed))
    workdir.path.mkdir(parents=True, exist_ok=True)
    task = replace(CLASSIFICATION, build_training_model=builder(road, step))
    run = trainer.prepare(recipe, source, workdir, strategy, task)
    history = HistoryFile(workdir.history, run.progress.epoch)
    progress = Progress(
        recipe.epochs,
        run.steps_per_epoch,
        recipe.global_batch,
        run.progress.step,
        metric=task.metric,
        evaluation_images=source.validation_examples,
    )
    trainer.train(run, [history, progress])
    last = history.rows[-1]
    size = roadmap.reduced(
        roadmap.design(step, road.regime), road.depth_factor, road.width_factor
    )
    result = Result(
        step=step,
        seed=recipe.seed,
        top1=last["val_accuracy"],
        loss=last["val_loss"],
        training_loss=last["loss"],
        parameters=sum(
            v.numpy().size for v in run.train_state.model.trainable_variables
        ),
        multiply_accumulates=roadmap.multiply_accumulates(
            size, recipe.size_px, len(source.classes), recipe.patch_size or 4
        ),
        seconds=round(run.progress.seconds, 1),
    )
    path = folder.result(step, recipe.seed)
    path.parent.mkdir(exist_ok=True)
    _files.write_json(path, asdict(result))
    # The result is what counts; a checkpoint is as large as the network.
    shutil.rmtree(workdir.checkpoints)
    say(f"{step}, seed {recipe.seed}: {result.top1:.2%} in {clock(result.seconds)}")


def builder(road: Road, step: str) -> Callable[[Recipe, Source], keras.Model]:
    """Returns the function that builds a step's network for a task.

    LayerScale is a setting of the recipe on the road: in every step or in none.

    Args:
        road: Which networks.
        step: One of `roadmap.STEPS`.
    """

    def build_training_model(recipe: Recipe, source: Source) -> keras.Model:
        return roadmap.build(
            step,
            road.regime,
            input_shape=(recipe.size_px, recipe.size_px, 3),
            classes=len(source.classes),
            classifier_activation=None,
            patch_size=recipe.patch_size or 4,
            depth_factor=road.depth_factor,
            width_factor=road.width_factor,
            stochastic_depth_rate=recipe.stochastic_depth_rate,
            layer_scale_init_value=recipe.layer_scale_init_value,
            head_init_scale=recipe.head_init_scale,
            dropout_rate=recipe.dropout_rate,
            preprocessing=source.preprocessing,
            seed=recipe.seed,
            dtype=recipe.precision,
        )

    return build_training_model


def results(folder: RoadFolder) -> list[Result]:
    """Returns all results there are, in the order of the road, then of the seeds.

    Raises:
        UsageError: A result file is none.
    """
    found = []
    for path in (folder.path / "results").glob("*_seed*.json"):
        try:
            found.append(Result(**json.loads(path.read_text(encoding="utf-8"))))
        except (ValueError, TypeError) as error:
            raise UsageError(f"{path} is no result ({error}); remove it") from error
    return sorted(found, key=lambda r: (roadmap.STEPS.index(r.step), r.seed))
