"""`python -m training.preview_main`: images as a training step will see them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from keras_convnext import _cli, _files
from keras_convnext._messages import UsageError, checked, say

from .recipes import flag_hints

COMMAND = "preview"
SUMMARY = """Draws a sheet of images as training will see them.

  python -m training.preview_main --recipe=v1_tiny_in1k --data=folder:photos \\
      --out=sheet.png

A row an image: as evaluation sees it, then as training draws it again and
again, through the pipeline that training reads from. Images with masks
or objects are shown in the colors of their classes."""


def options() -> _cli.FlagValues:
    """Returns the command's flags."""
    flags = _cli.Flags()
    flags.recipe()
    flags.data("; without labels: images:DIR")
    flags.text("out", None, "PNG file for the sheet")
    flags.integer("images", 8, "rows", 1, 64)
    flags.integer("draws", 7, "columns", 1, 32)
    flags.switch("mix", False, "MixUp and CutMix too")
    flags.skip_bad_images()
    flags.renamed("pictures", "images")
    return flags.values


def _preview(chosen: _cli.FlagValues) -> int:
    out = Path(chosen.out)
    if out.suffix.lower() != ".png" or not out.parent.is_dir():
        raise UsageError(
            f"--out={out} must be a .png file in a folder that is there: sheet.png"
        )
    _cli.import_tensorflow()

    from .data import stream_flaws
    from .data.box_source import BoxSource
    from .data.mask_source import MaskSource
    from .data.unlabeled_source import UnlabeledSource
    from .engine import pretrained
    from .recipes import table
    from .report import box_preview, mask_preview, pretraining_preview, preview
    from .tasks import find_task

    row = table.RECIPES.get(chosen.recipe)
    asked = checked(pretrained.with_weights, list(chosen.set), None, row)
    recipe = checked(table.resolve, chosen.recipe, asked)
    if not chosen.mix:
        off = {"mixup": 0.0, "cutmix": 0.0, "mix_probability": 1.0}
        unmixed = replace(recipe.augmentation, **off)
        recipe = replace(recipe, augmentation=unmixed)
    load = find_task(recipe).load
    with stream_flaws.count_flawed_images(chosen.data):
        source = checked(load, chosen.data, recipe, chosen.skip_bad_images)
        source = checked(pretrained.match_preprocessing, source, recipe)
        if isinstance(source, MaskSource):
            words = preview.in_words(recipe.mask_augmentation)
            png = mask_preview.sheet(source, recipe, chosen.images, chosen.draws)
        elif isinstance(source, BoxSource):
            words = preview.in_words(recipe.box_augmentation)
            png = box_preview.sheet(source, recipe, chosen.images, chosen.draws)
        elif isinstance(source, UnlabeledSource):
            words = preview.in_words(recipe.augmentation)
            png = pretraining_preview.sheet(source, recipe, chosen.images, chosen.draws)
        else:
            words = preview.in_words(recipe.augmentation)
            png = preview.sheet(source, recipe, chosen.images, chosen.draws)
    with _cli.writes_file("out", out), _files.replacing(out) as partial:
        partial.write_bytes(png)
    say(f"{out}  {words}")
    return 0


command = _cli.Command(
    COMMAND,
    SUMMARY,
    options,
    _preview,
    required=("recipe", "data", "out"),
    suggest=flag_hints.suggest,
)
main = command.main
run = command.run


if __name__ == "__main__":
    run()
