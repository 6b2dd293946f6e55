"""`python -m training.roadmap_main`: trains the road from ResNet to ConvNeXt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from absl import app, flags

from . import console
from .console import say
from .engine import distribution
from .recipes import flag_hints
from .report import run_log
from .workdir.layout import Workdir

COMMAND = "roadmap"
SUMMARY = """Trains the steps from ResNet to ConvNeXt, all alike, and draws them.

  python -m training.roadmap_main --data=array:cifar10.npz --workdir=runs/roadmap \\
      --seeds=2 --depth_factor=0.34 --width_factor=0.25

The same command again goes on where it stopped; more --steps and --seeds add to it."""


def options() -> flags.FlagValues:
    """Returns the command's flags."""
    values = flags.FlagValues()
    flags.DEFINE_string(
        "steps", "all", "all, or names with commas between them", flag_values=values
    )
    flags.DEFINE_integer(
        "seeds", 1, "how many times each is trained", 1, flag_values=values
    )
    flags.DEFINE_string(
        "regime", "resnet50", "resnet50 or resnet200", flag_values=values
    )
    flags.DEFINE_string(
        "data", None, "digits, folder:PATH, array:PATH.npz or tfds", flag_values=values
    )
    flags.DEFINE_string(
        "workdir", None, "folder for results and figure", flag_values=values
    )
    flags.DEFINE_string(
        "recipe", "roadmap_small", "how all are trained", flag_values=values
    )
    flags.DEFINE_multi_string(
        "set", [], "field=value: changes the recipe; repeatable", flag_values=values
    )
    flags.DEFINE_float(
        "depth_factor", 1.0, "on every step's blocks", 0, 1, flag_values=values
    )
    flags.DEFINE_float(
        "width_factor", 1.0, "on every step's channels", 0, 1, flag_values=values
    )
    flags.DEFINE_string("devices", "all", distribution.FORMS, flag_values=values)
    return values


def main(argv: list[str]) -> int:
    """Runs the command.

    Args:
        argv: The program's name and its arguments.

    Returns:
        The exit code: 0 for success, 2 after a mistake of the caller's.
    """
    return console.guard(COMMAND, lambda: _roadmap(argv), (flags.Error,))


def _roadmap(argv: list[str]) -> int:
    chosen = options()
    if console.asks_for_help(argv):
        say(console.help_text(SUMMARY, chosen))
        return 0
    console.no_more_arguments(
        flag_hints.parse(chosen, argv, flags.UnrecognizedFlagError)
    )
    console.require(chosen, ("data", "workdir"))
    Workdir(Path(chosen.workdir)).check_writable()
    devices = console.checked(distribution.parse, chosen.devices)

    console.import_tensorflow()
    from .data import source as data
    from .data import stream_flaws
    from .roadmap import runs

    road = runs.Road(chosen.regime, chosen.depth_factor, chosen.width_factor)
    steps = _steps(chosen.steps, road)
    recipe = console.checked(runs.recipe, chosen.recipe, chosen.set)
    runs.check(recipe)
    folder = runs.RoadFolder(Path(chosen.workdir))
    settings = runs.settings_of(road, recipe, chosen.data)
    Workdir(folder.path).check_same(settings)
    strategy = console.checked(distribution.make_strategy, devices)
    with stream_flaws.count_flawed_images(chosen.data):
        source = console.checked(
            data.load,
            chosen.data,
            size_px=recipe.size_px,
            validation_share=recipe.validation_share,
            seed=recipe.seed,
        )
        run_log.say_what_was_found(source)
        Workdir(folder.path).claim(settings, source.classes)
        say(
            f"{distribution.describe(strategy)}, {recipe.precision}, batch "
            f"{recipe.global_batch}, {road.regime} road: steps {len(steps)}, seeds "
            f"{chosen.seeds}; {source.train_examples:,} pictures to train on and "
            f"{source.eval_examples:,} held back"
        )
        runs.train_missing(
            folder, road, recipe, source, strategy, steps, range(chosen.seeds)
        )
    _leave(folder, settings)
    return 0


def _steps(text: str, road: Any) -> tuple[str, ...]:
    """Returns the steps that `--steps` names, in the order of the road."""
    from keras_convnext import roadmap

    names = roadmap.STEPS if text == "all" else [n.strip() for n in text.split(",")]
    for name in names:
        full = console.checked(roadmap.design, name, road.regime)
        console.checked(roadmap.reduced, full, road.depth_factor, road.width_factor)
    return tuple(name for name in roadmap.STEPS if name in names)


def _leave(folder: Any, settings: Any) -> None:
    """Writes the summary, the table and the figure of all results there are."""
    from .roadmap import report as roadmap_report

    report = roadmap_report.leave(folder, settings)
    say(report)
    say(f"results {folder.summary}, figure {folder.figure}")


def run() -> None:
    """Entry point of the console script."""
    # absl's own flags stay untouched: `main` parses the command's.
    app.run(main, flags_parser=lambda argv: [*flags.FLAGS(argv[:1]), *argv[1:]])


if __name__ == "__main__":
    run()
