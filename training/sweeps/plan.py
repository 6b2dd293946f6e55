"""The runs of a sweep before any of them begins: their recipes and their folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_convnext._messages import UsageError, checked, say

from ..data.source import Source
from ..engine import pretrained
from ..recipes import table
from ..recipes.metric import Metric
from ..recipes.recipe import Recipe
from ..tasks import find_task
from ..workdir.layout import Workdir, identity
from .settings import folder_name

_LONGEST_NAME = 200
_MOST_PROBLEMS = 5


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep.

    Attributes:
        changes: What it has of its own, as `--set` takes it.
        recipe: All its settings.
        workdir: Its folder.
    """

    changes: tuple[str, ...]
    recipe: Recipe
    workdir: Workdir

    @property
    def name(self) -> str:
        """What it is called: its folder's name."""
        return self.workdir.path.name

    @property
    def log(self) -> Path:
        """Where what it prints is written, beside its folder."""
        return self.workdir.path.with_name(f"{self.name}.log")


def plan(
    recipe: str,
    common: Sequence[str],
    weights: str | None,
    settings: Sequence[tuple[str, ...]],
    folder: Path,
    data: str,
) -> list[PlannedRun]:
    """Returns a run for each of some settings.

    Args:
        recipe: Name of the recipe of all of them.
        common: Changes of it that all have, as `--set` takes them.
        weights: What `--weights` says.
        settings: What each run has of its own.
        folder: For their workdirs.
        data: What `--data` says.

    Raises:
        UsageError: Some make no recipe, or a folder holds another run.
    """
    row = table.RECIPES.get(recipe)
    planned, problems = [], []
    for changes in settings:
        workdir = Workdir(folder / folder_name(changes))
        try:
            if len(workdir.path.name) > _LONGEST_NAME:
                raise ValueError("too many settings for the name of a folder")
            every = pretrained.with_weights([*common, *changes], weights, row)
            resolved = table.resolve(recipe, every)
            pretrained.check(resolved)
        except ValueError as error:
            problems.append(f"{', '.join(changes)}: {error}")
            continue
        planned.append(PlannedRun(changes, resolved, workdir))
    if problems:
        shown = "; ".join(dict.fromkeys(problems[:_MOST_PROBLEMS]))
        more = len(problems) - _MOST_PROBLEMS
        raise UsageError(f"{shown}; and {more} more" if more > 0 else shown)
    for run in planned:
        run.workdir.check_writable()
        run.workdir.check_same(identity(run.recipe, data))
    return planned


def load_data(recipe: Recipe, data: str, skip_bad_images: bool) -> Source:
    """Returns the data of runs, so that mistakes in them are found once, and first.

    Args:
        recipe: Of one of the runs.
        data: What `--data` says.
        skip_bad_images: Leave unreadable images out instead of refusing.

    Raises:
        UsageError: They cannot be used.
    """
    import tensorflow as tf

    # The runs are processes of their own, and an accelerator's memory is for them.
    tf.config.set_visible_devices([], "GPU")
    source: Source = checked(find_task(recipe).load, data, recipe, skip_bad_images)
    for notice in source.notices:
        say(notice)
    return source


def metric_of(planned: Sequence[PlannedRun]) -> Metric:
    """Returns what runs of one task are compared by."""
    return find_task(planned[0].recipe).metric
