"""From the flags to the results: the checks, the data, the runs, the figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_convnext import roadmap
from keras_convnext._messages import checked, say

from .. import data
from ..data import stream_flaws
from ..engine import distribution
from ..report import run_log
from ..workdir.layout import Workdir
from . import report, runs


def train(chosen: Any) -> None:
    """Trains the steps that the flags ask for, and draws all results there are.

    Args:
        chosen: The flags of `roadmap_main`.

    Raises:
        UsageError: They ask for something that cannot be had.
        Interrupted: Ctrl-C or SIGTERM; the same flags resume.
    """
    Workdir(Path(chosen.workdir)).check_writable()
    devices = checked(distribution.parse, chosen.devices)
    road = runs.Road(chosen.regime, chosen.depth_factor, chosen.width_factor)
    steps = _steps(chosen.steps, road)
    recipe = checked(runs.recipe, chosen.recipe, chosen.set)
    runs.check(recipe)
    folder = runs.RoadFolder(Path(chosen.workdir))
    settings = runs.settings_of(road, recipe, chosen.data)
    Workdir(folder.path).check_same(settings)
    strategy = checked(distribution.make_strategy, devices)
    with stream_flaws.count_flawed_images(chosen.data):
        source = checked(
            data.load,
            chosen.data,
            size_px=recipe.size_px,
            validation_share=recipe.validation_share,
            seed=recipe.seed,
            folds=recipe.folds,
            fold=recipe.fold,
        )
        run_log.say_what_was_found(source)
        Workdir(folder.path).claim(settings, source.classes)
        say(
            f"{distribution.describe(strategy)}, {recipe.precision}, batch "
            f"{recipe.global_batch}, {road.regime} road: steps {len(steps)}, seeds "
            f"{chosen.seeds}; {source.train_examples:,} images to train on and "
            f"{source.validation_examples:,} validation images"
        )
        runs.train_missing(
            folder, road, recipe, source, strategy, steps, range(chosen.seeds)
        )
    say(report.leave(folder, settings))
    say(f"results {folder.summary}, figure {folder.figure}")


def _steps(text: str, road: runs.Road) -> tuple[str, ...]:
    """Returns the steps that `--steps` names, in the order of the road."""
    names = roadmap.STEPS if text == "all" else [n.strip() for n in text.split(",")]
    for name in names:
        full = checked(roadmap.design, name, road.regime)
        checked(roadmap.reduced, full, road.depth_factor, road.width_factor)
    return tuple(name for name in roadmap.STEPS if name in names)
