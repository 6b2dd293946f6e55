"""`python -m training.main`: trains a ConvNeXt from a recipe and pictures."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import app, flags

from . import cluster, console, distribution
from .console import say
from .workdir import Workdir, identity

COMMAND = "train"
SUMMARY = """Trains a ConvNeXt and leaves the model, its figures and a report.

  python -m training.main --recipe=demo --data=digits --workdir=runs/demo

The same command again goes on where an interrupted run stopped."""


def options() -> flags.FlagValues:
    """Returns the command's flags."""
    values = flags.FlagValues()
    flags.DEFINE_string(
        "recipe", None, "name of a recipe (docs/training.md)", flag_values=values
    )
    flags.DEFINE_string(
        "data",
        None,
        "digits, folder:PATH (a folder a class), or a tfds name",
        flag_values=values,
    )
    flags.DEFINE_string(
        "workdir", None, "folder for what the run leaves", flag_values=values
    )
    flags.DEFINE_multi_string(
        "set", [], "field=value: changes the recipe; repeatable", flag_values=values
    )
    flags.DEFINE_string("devices", "all", distribution.FORMS, flag_values=values)
    flags.DEFINE_bool(
        "skip_bad_images",
        False,
        "leave unreadable pictures out and list them",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "tensorboard", False, "write WORKDIR/tensorboard", flag_values=values
    )
    flags.DEFINE_string(
        "profile_steps", None, "such as 10,20: record these steps", flag_values=values
    )
    return values


def main(argv: list[str]) -> int:
    """Runs the command.

    Args:
        argv: The program's name and its arguments.

    Returns:
        The exit code: 0 for success, 2 after a mistake of the caller's.
    """
    return console.guard(COMMAND, lambda: _train(argv), (flags.Error,))


def _train(argv: list[str]) -> int:
    chosen = options()
    if console.asks_for_help(argv):
        say(console.help_text(SUMMARY, chosen))
        return 0
    console.no_more_arguments(chosen(argv))
    console.require(chosen, ("recipe", "data", "workdir"))
    workdir = Workdir(Path(chosen.workdir))
    workdir.check_writable()
    devices = console.checked(distribution.parse, chosen.devices)
    processes = console.checked(cluster.read)

    console.import_tensorflow()
    from . import recipes

    recipe = console.checked(recipes.resolve, chosen.recipe, chosen.set)
    watchers = console.checked(_watchers, chosen)
    run_identity = identity(recipe, chosen.data)
    workdir.check_same(run_identity)
    finished = workdir.finished()
    if finished is not None:
        say(_finished_words(workdir, finished))
        return 0
    from . import data

    # First of all: logical processors cannot be made once TensorFlow has run.
    strategy = console.checked(distribution.make_strategy, devices, processes)
    source = console.checked(
        data.load,
        chosen.data,
        size_px=recipe.size_px,
        validation_share=recipe.validation_share,
        seed=recipe.seed,
        skip_bad_images=chosen.skip_bad_images,
    )
    if processes.is_chief:
        _say_what_was_found(source)
        # A folder may have got or lost pictures since the run began.
        counts = {
            "train_examples": source.train_examples,
            "eval_examples": source.eval_examples,
            "classes": len(source.classes),
        }
        workdir.claim({**run_identity, **counts})
    from . import trainer

    run = trainer.prepare(recipe, source, workdir, strategy, cluster=processes)
    return _lead(run, watchers(workdir)) if processes.is_chief else _follow(run)


def _watchers(chosen: flags.FlagValues) -> Callable[[Workdir], list[Any]]:
    """Returns what makes the callbacks that the flags ask for."""
    from . import watching

    steps = chosen.profile_steps and watching.parse_steps(chosen.profile_steps)

    def make(workdir: Workdir) -> list[Any]:
        made: list[Any] = []
        if chosen.tensorboard:
            made.append(watching.Summaries(workdir.tensorboard))
        if steps:
            made.append(watching.Profile(workdir.tensorboard, *steps))
        return made

    return make


def _follow(run: Any) -> int:
    """Takes part in the steps; the chief writes and speaks for all."""
    from . import outcome, trainer

    trainer.train(run)
    outcome.leave(run, [])
    return 0


def _lead(run: Any, watchers: list[Any]) -> int:
    from . import outcome, trainer
    from .history import HistoryFile
    from .progress import Progress, clock

    recipe, workdir = run.recipe, run.workdir
    say(_first_line(run))
    say(f"recipe: {_in_short(recipe)}")
    if run.position.step:
        say(f"going on after step {run.position.step} (epoch {run.position.epoch + 1})")
    history = HistoryFile(workdir.history, run.position.epoch)
    progress = Progress(
        recipe.epochs, run.steps_per_epoch, recipe.global_batch, run.position.step
    )
    trainer.train(run, [history, *watchers, progress])
    started = time.monotonic()
    metrics = outcome.leave(run, history.rows)
    say(
        f"held-back accuracy {metrics['top1']:.2%} "
        f"({metrics['eval_examples']} pictures), trained in "
        f"{clock(metrics['train_seconds'])}, report made in "
        f"{clock(time.monotonic() - started)}"
    )
    say(f"model {workdir.model}, report {workdir.report}")
    return 0


def _say_what_was_found(source: Any) -> None:
    for notice in source.notices:
        say(notice)
    if source.skipped:
        say(f"left out {len(source.skipped)} unreadable pictures:")
        for path, reason in source.skipped:
            say(f"  {path}: {reason}")


def _first_line(run: Any) -> str:
    model = run.learner.model
    return (
        f"{distribution.describe(run.strategy)}, {run.recipe.precision}, batch "
        f"{run.recipe.global_batch}, {run.recipe.variant} with "
        f"{model.count_params():,} parameters, {run.source.train_examples:,} pictures "
        f"of {len(run.source.classes)} classes to train on and "
        f"{run.source.eval_examples:,} held back"
    )


def _in_short(recipe: Any) -> str:
    """Returns a recipe's most telling fields on one line."""
    ema = f", EMA {recipe.ema_decay}" if recipe.ema_decay is not None else ""
    return (
        f"{recipe.name}, {recipe.epochs} epochs at {recipe.size_px} px, peak lr "
        f"{recipe.peak_lr:g}, decay {recipe.weight_decay:g}, stochastic depth "
        f"{recipe.stochastic_depth_rate:g}{ema}, seed {recipe.seed}"
    )


def _finished_words(workdir: Workdir, metrics: dict[str, Any]) -> str:
    return (
        f"{workdir.path} is finished: held-back accuracy {metrics['top1']:.2%}, report "
        f"{workdir.report}. To train again, take another --workdir."
    )


def run() -> None:
    """Entry point of the console script."""
    # absl's own flags stay untouched: `main` parses the command's.
    app.run(main, flags_parser=lambda argv: [*flags.FLAGS(argv[:1]), *argv[1:]])


if __name__ == "__main__":
    run()
