"""A workdir whose run is done: what is said of it, and how its model is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_convnext._messages import UsageError

from ..recipes.metric import Metric
from ..workdir.layout import Workdir
from . import next_steps

# What fewer epochs shorten.
_OF_LENGTH = ("warmup_epochs", "frozen_epochs")
# Said by the command itself, or done with.
_LEFT_OUT = ("name", "epochs", "weights", *_OF_LENGTH)


def words(workdir: Workdir, wanted: Mapping[str, Any], metric: Metric) -> str | None:
    """Returns a message about a finished run, or None if it is not finished.

    Args:
        workdir: The run's.
        wanted: What was asked for, as `workdir.identity` has it.
        metric: The task's.

    Raises:
        UsageError: Another run lives in the folder, or this one is finished and was
            asked for with another number of epochs.
        ValueError: The folder's recipe is none.
    """
    metrics = workdir.finished()
    there = workdir.stored()
    if metrics is None or there is None:
        workdir.check_same(dict(wanted))
        return None
    longer = wanted["epochs"] != there.get("epochs")
    same = {name: there.get(name) for name in ("epochs", *_OF_LENGTH) if longer}
    workdir.check_same({**wanted, **same})
    # A run under JAX leaves no report.
    shown = workdir.report if workdir.report.exists() else workdir.model
    said = (
        f"{workdir.path} is finished: validation {metric.words} "
        f"{metric.show(metrics[metric.name])}, {shown}. To train its weights further "
        "in a new folder: "
        f"{_further(workdir, there, wanted['epochs'])}"
    )
    if longer:
        raise UsageError(said)
    return said


def _further(workdir: Workdir, there: Mapping[str, Any], epochs: int) -> str:
    """Returns the command that trains a finished run's weights further."""
    from ..recipes import overrides, table
    from ..recipes import recipe as recipe_file

    recipe = recipe_file.from_json(there)
    base = table.RECIPES.get(recipe.name)
    changes = overrides.format_overrides(recipe, fixed=_LEFT_OUT, base=base)
    return next_steps.train_on(workdir, there, [*changes, f"epochs={epochs}"])
