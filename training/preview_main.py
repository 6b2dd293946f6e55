"""`python -m training.preview_main`: pictures as a training step will see them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from absl import app, flags

from . import console
from .console import Mistake, say
from .recipes import flag_hints

COMMAND = "preview"
SUMMARY = """Draws a sheet of pictures as training will see them.

  python -m training.preview_main --recipe=v1_tiny_in1k --data=folder:photos \\
      --out=sheet.png

A row a picture: as evaluation sees it, then as training draws it again and
again, through the pipeline that training reads from."""


def options() -> flags.FlagValues:
    """Returns the command's flags."""
    values = flags.FlagValues()
    flags.DEFINE_string("recipe", None, "name of a recipe", flag_values=values)
    flags.DEFINE_string(
        "data", None, "as in training: digits, folder:PATH, ...", flag_values=values
    )
    flags.DEFINE_string("out", None, "PNG file for the sheet", flag_values=values)
    flags.DEFINE_multi_string(
        "set", [], "field=value: changes the recipe; repeatable", flag_values=values
    )
    flags.DEFINE_integer(
        "pictures", 8, "rows", lower_bound=1, upper_bound=64, flag_values=values
    )
    flags.DEFINE_integer(
        "draws", 7, "columns", lower_bound=1, upper_bound=32, flag_values=values
    )
    flags.DEFINE_bool("mix", False, "MixUp and CutMix too", flag_values=values)
    flags.DEFINE_bool(
        "skip_bad_images", False, "leave unreadable pictures out", flag_values=values
    )
    return values


def main(argv: list[str]) -> int:
    """Runs the command.

    Args:
        argv: The program's name and its arguments.

    Returns:
        The exit code: 0 for success, 2 after a mistake of the caller's.
    """
    return console.guard(COMMAND, lambda: _preview(argv), (flags.Error,))


def _preview(argv: list[str]) -> int:
    chosen = options()
    if console.asks_for_help(argv):
        say(console.help_text(SUMMARY, chosen))
        return 0
    console.no_more_arguments(
        flag_hints.parse(chosen, argv, flags.UnrecognizedFlagError)
    )
    console.require(chosen, ("recipe", "data", "out"))
    out = Path(chosen.out)
    if out.suffix.lower() != ".png" or not out.parent.is_dir():
        raise Mistake(
            f"--out={out} must be a .png file in a folder that is there: sheet.png"
        )
    console.import_tensorflow()
    from .data import source as data
    from .data import stream_flaws
    from .engine import pretrained
    from .recipes import table
    from .report import preview
    from .workdir import atomic

    recipe = console.checked(table.resolve, chosen.recipe, chosen.set)
    if not chosen.mix:
        off = {"mixup": 0.0, "cutmix": 0.0, "mix_probability": 1.0}
        unmixed = replace(recipe.augmentation, **off)
        recipe = replace(recipe, augmentation=unmixed)
    with stream_flaws.count_flawed_images(chosen.data):
        source = console.checked(
            data.load,
            chosen.data,
            size_px=recipe.size_px,
            validation_share=recipe.validation_share,
            seed=recipe.seed,
            skip_bad_images=chosen.skip_bad_images,
        )
        source = console.checked(pretrained.seen_alike, source, recipe)
        png = preview.sheet(source, recipe, chosen.pictures, chosen.draws)
    try:
        with atomic.replacing(out) as partial:
            partial.write_bytes(png)
    except OSError as error:
        raise Mistake(f"--out={out} cannot be written: {error.strerror}") from error
    say(f"{out}  {preview.in_words(recipe.augmentation)}")
    return 0


def run() -> None:
    """Entry point of the console script."""
    # absl's own flags stay untouched: `main` parses the command's.
    app.run(main, flags_parser=lambda argv: [*flags.FLAGS(argv[:1]), *argv[1:]])


if __name__ == "__main__":
    run()
