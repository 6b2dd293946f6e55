"""A finished run, as its report is made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from ..data.source import Source
from ..recipes.recipe import Recipe
from ..workdir.layout import Workdir


@dataclass(frozen=True)
class Outcome:
    """What a run has come to.

    Attributes:
        recipe: Its numbers.
        source: Its data.
        workdir: Where the report goes.
        model: As it is saved.
        metrics: What metrics.json will hold.
        history: The figures of every epoch.
        details: What the task's evaluation of the model keeps for the report.
    """

    recipe: Recipe
    source: Source
    workdir: Workdir
    model: keras.Model
    metrics: Mapping[str, Any]
    history: Sequence[dict[str, float]]
    details: Any
