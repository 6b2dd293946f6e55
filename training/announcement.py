"""What a run says at its beginning."""

from __future__ import annotations

import textwrap
from typing import Any

from . import distribution
from .console import say

_INDENT = "  "
_WIDTH = 88


def say_what_was_found(source: Any) -> None:
    """Says what is to be known of a `training.data.Source`, a line each."""
    from . import classes

    for notice in (*source.notices, *classes.notices(source)):
        say(notice)
    if source.skipped:
        say(f"left out {len(source.skipped)} unreadable pictures:")
        for path, reason in source.skipped:
            say(f"  {path}: {reason}")


def of_run(run: Any) -> str:
    """Returns a line on the devices, the network and the pictures of a run."""
    model = run.learner.model
    return (
        f"{distribution.describe(run.strategy)}, {run.recipe.precision}, batch "
        f"{run.recipe.global_batch}, {run.recipe.variant} with "
        f"{model.count_params():,} parameters, {run.source.train_examples:,} pictures "
        f"of {len(run.source.classes)} classes to train on and "
        f"{run.source.eval_examples:,} held back"
    )


def of_recipe(recipe: Any) -> str:
    """Returns a recipe in words, and below all of it that is not at its default."""
    from . import settings

    told = textwrap.fill(
        " ".join(settings.told(recipe, fixed=("name",))),
        width=_WIDTH,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return f"recipe: {_in_short(recipe)}\n{told}"


def _in_short(recipe: Any) -> str:
    """Returns a recipe's most telling fields on one line."""
    ema = f", EMA {recipe.ema_decay}" if recipe.ema_decay is not None else ""
    start = f" from {recipe.weights}" if recipe.weights else ""
    epochs = "epoch" if recipe.epochs == 1 else "epochs"
    frozen = ""
    if recipe.frozen_epochs:
        frozen = f" (the head alone in the first {recipe.frozen_epochs})"
    return (
        f"{recipe.name}{start}, {recipe.epochs} {epochs}{frozen} at "
        f"{recipe.size_px} px, peak lr {recipe.peak_lr:g}, decay "
        f"{recipe.weight_decay:g}, stochastic depth "
        f"{recipe.stochastic_depth_rate:g}{ema}, seed {recipe.seed}"
    )
