"""`python -m training.roadmap_main`: trains the road from ResNet to ConvNeXt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_convnext import _cli
from keras_convnext._messages import checked, say

from .engine import distribution
from .recipes import flag_hints
from .report import run_log
from .workdir.layout import Workdir

COMMAND = "roadmap"
SUMMARY = """Trains the steps from ResNet to ConvNeXt, all alike, and draws them.

  python -m training.roadmap_main --data=array:cifar10.npz --workdir=runs/roadmap \\
      --seeds=2 --depth_factor=0.34 --width_factor=0.25

Run the same command to resume; more --steps and --seeds add to it."""


def options() -> _cli.FlagValues:
    """Returns the command's flags."""
    flags = _cli.Flags()
    flags.text("steps", "all", "all, or comma-separated names")
    flags.integer("seeds", 1, "runs of each step", 1)
    flags.text("regime", "resnet50", "resnet50 or resnet200")
    flags.data()
    flags.text("workdir", None, "folder for the results and the figure")
    flags.recipe("the recipe of all steps", "roadmap_small")
    flags.number("depth_factor", 1.0, "multiplies every step's blocks", most=1)
    flags.number("width_factor", 1.0, "multiplies every step's channels", most=1)
    flags.text("devices", "all", distribution.FORMS)
    return flags.values


def _roadmap(chosen: _cli.FlagValues) -> int:
    Workdir(Path(chosen.workdir)).check_writable()
    devices = checked(distribution.parse, chosen.devices)

    _cli.import_tensorflow()
    from . import data
    from .data import stream_flaws
    from .roadmap import runs

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
    _write_outputs(folder, settings)
    return 0


def _steps(text: str, road: Any) -> tuple[str, ...]:
    """Returns the steps that `--steps` names, in the order of the road."""
    from keras_convnext import roadmap

    names = roadmap.STEPS if text == "all" else [n.strip() for n in text.split(",")]
    for name in names:
        full = checked(roadmap.design, name, road.regime)
        checked(roadmap.reduced, full, road.depth_factor, road.width_factor)
    return tuple(name for name in roadmap.STEPS if name in names)


def _write_outputs(folder: Any, settings: Any) -> None:
    """Writes the summary, the table and the figure of all results there are."""
    from .roadmap import report as roadmap_report

    report = roadmap_report.leave(folder, settings)
    say(report)
    say(f"results {folder.summary}, figure {folder.figure}")


command = _cli.Command(
    COMMAND,
    SUMMARY,
    options,
    _roadmap,
    required=("data", "workdir"),
    suggest=flag_hints.suggest,
)
main = command.main
run = command.run


if __name__ == "__main__":
    run()
