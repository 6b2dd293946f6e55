"""The images of the training run beside a model, as its files name them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from keras_convnext._messages import UsageError

from . import image_sets
from .image_sets import ImageSet, Splits

_RECIPE, _VALIDATION = "recipe.json", "validation.csv"
# Kinds of data that stand with a word before them; other data are tfds names.
_KINDS = ("folder:", "array:")


def find_run_images(workdir: Path) -> Splits:
    """Returns the images that a run learned from and those that it held back.

    Args:
        workdir: Where a model file lies.

    Raises:
        UsageError: It is no run's folder, or its data are not to be had any more.
    """
    file = workdir / _RECIPE
    try:
        data = str(json.loads(file.read_text(encoding="utf-8"))["data"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            f"{workdir} has no {_RECIPE} that names a run's data"
        ) from None
    spec = data if data.startswith(_KINDS) else f"tfds:{data}"
    splits = image_sets.find("data", spec, download=False)
    if not splits.undivided:
        return splits
    return _divided(Path(spec.partition(":")[2]).expanduser(), workdir / _VALIDATION)


def _divided(root: Path, validation: Path) -> Splits:
    """Divides a folder as the run did, which left the names of what it held back."""
    try:
        with validation.open(encoding="utf-8", newline="") as rows:
            kept_apart = {Path(row["image"]).resolve() for row in csv.DictReader(rows)}
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            f"there is no {validation} that says which images of {root} were held back"
        ) from None
    files = image_sets.files_in(root)
    apart = [file for file in files if file.resolve() in kept_apart]
    gone = [file for file in kept_apart if not file.exists()]
    if gone:
        raise UsageError(
            f"{len(gone)} of the images that {validation} names are not in {root} any "
            "more"
        )
    others = [file for file in files if file.resolve() not in kept_apart]
    return Splits(
        _image_set("training", root, others), _image_set("validation", root, apart)
    )


def _image_set(part: str, root: Path, files: list[Path]) -> ImageSet:
    return image_sets.of_files(f"{root}, the run's {part} images", files, root)
