"""What a run says at its beginning and at its end."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keras_convnext._messages import say

from ..recipes.metric import Metric
from ..workdir.layout import Workdir
from . import next_steps

if TYPE_CHECKING:
    # Importing them loads Keras, which is to be done quietly before.
    from ..data.source import Source
    from ..recipes.recipe import Recipe
    from ..workdir.checkpoints import TrainProgress

_INDENT = "  "
_WIDTH = 88


def of_changes(recipe: Recipe, name: str | None, changes: Sequence[str]) -> list[str]:
    """Returns remarks on a recipe, a line each.

    Args:
        recipe: The run's.
        name: What `--recipe` says, if it does.
        changes: What `--set` says.
    """
    from ..recipes import table

    lines = []
    shorter = table.fit_to_epochs(table.RECIPES[name], changes) if name else []
    if shorter:
        words = " and ".join(shorter)
        lines.append(f"epochs={recipe.epochs} is short for {name}: {words}, to fit")
    if recipe.frozen_epochs and recipe.weights is None:
        lines.append(
            f"frozen_epochs={recipe.frozen_epochs} with random weights: these epochs "
            "train only the head, on random features; use --set frozen_epochs=0 or "
            "--weights="
        )
    return lines


def say_what_was_found(source: Source, balance: str = "none") -> None:
    """Says what is to be known of the data, a line each.

    Args:
        source: The data.
        balance: The recipe's `class_balance`.
    """
    from ..data import class_balance

    for notice in (*source.notices, *class_balance.notices(source, balance)):
        say(notice)
    if source.skipped:
        say(f"skipped {len(source.skipped)} unreadable images:")
        for path, reason in source.skipped:
            say(f"  {path}: {reason}")


def say_what_begins(
    recipe: Recipe,
    source: Source,
    progress: TrainProgress,
    parameters: int,
    devices: str,
) -> None:
    """Says what a run is, and from where it resumes.

    Args:
        recipe: Its numbers.
        source: Its data.
        progress: Where it is.
        parameters: Of the network that learns.
        devices: What it runs on, in words.
    """
    classes = f" of {len(source.classes)} classes" if source.classes else ""
    say(
        f"{devices}, {recipe.precision}, batch {recipe.global_batch}, "
        f"{recipe.variant} with {parameters:,} parameters, "
        f"{source.train_examples:,} training and "
        f"{source.validation_examples:,} validation images{classes}"
    )
    say(of_recipe(recipe))
    if progress.step:
        say(f"resuming after step {progress.step} (epoch {progress.epoch + 1})")


def say_what_came_out(
    workdir: Workdir, metric: Metric, metrics: Mapping[str, Any], seconds: float
) -> None:
    """Says how good the model is, where it lies, and what to type next.

    Args:
        workdir: Of the run.
        metric: The task's.
        metrics: What metrics.json holds.
        seconds: How long it took to evaluate the model and to draw the report.
    """
    # Importing it loads Keras, which is to be done quietly before.
    from .progress import clock

    # A run under JAX leaves no report.
    shown = workdir.report if workdir.report.exists() else workdir.curves
    say(
        f"validation {metric.words} {metric.show(metrics[metric.name])} "
        f"({metrics['eval_examples']} images), trained in "
        f"{clock(metrics['train_seconds'])}, {shown.stem} made in {clock(seconds)}"
    )
    if metrics["kept_epoch"] != metrics["epochs"]:
        say(
            f"kept the weights of epoch {metrics['kept_epoch']} of "
            f"{metrics['epochs']}, the best on the validation images"
        )
    say(f"model {workdir.model}, {shown.stem} {shown}")
    for words, command in next_steps.steps(workdir):
        say(f"{words:<11} {command}")


def of_recipe(recipe: Recipe) -> str:
    """Returns a recipe in words, and below all of it that is not at its default."""
    from ..recipes import overrides

    told = textwrap.fill(
        " ".join(overrides.format_overrides(recipe, fixed=("name",))),
        width=_WIDTH,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return f"recipe: {_in_short(recipe)}\n{told}"


def _in_short(recipe: Recipe) -> str:
    """Returns a recipe's most telling fields on one line."""
    ema = f", EMA {recipe.ema_decay}" if recipe.ema_decay is not None else ""
    start = f" from {recipe.weights}" if recipe.weights else ""
    epochs = "epoch" if recipe.epochs == 1 else "epochs"
    frozen = ""
    if recipe.frozen_epochs:
        frozen = f" (only the head in the first {recipe.frozen_epochs})"
    return (
        f"{recipe.name}{start}, {recipe.epochs} {epochs}{frozen} at "
        f"{recipe.size_px} px, peak lr {recipe.peak_lr:g}, decay "
        f"{recipe.weight_decay:g}, stochastic depth "
        f"{recipe.stochastic_depth_rate:g}{ema}, seed {recipe.seed}"
    )
