"""The images of the training run beside a model, as its files name them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from keras_convnext._data import forms
from keras_convnext._messages import UsageError

from . import image_sets, masks
from .image_set import ImageSet, Splits

_RECIPE, _VALIDATION = "recipe.json", "validation.csv"


def find_run_images(workdir: Path) -> Splits:
    """Returns the images that a run learned from and its validation images.

    Args:
        workdir: Where a model file lies.

    Raises:
        UsageError: It is no run's folder, or its data are not to be had any more.
    """
    file = workdir / _RECIPE
    try:
        run = json.loads(file.read_text(encoding="utf-8"))
        data = str(run["data"])
        split = float(run.get("validation_share", 0.2)), int(run.get("seed", 0))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(
            f"{workdir} has no {_RECIPE} that names a run's data"
        ) from None
    splits = image_sets.find("data", data, download=False, split=split)
    if not splits.undivided:
        return splits
    kind, named = forms.parse(data)
    divide = _divide_masks if kind == "masks" else _divided
    return divide(Path(named).expanduser(), workdir / _VALIDATION)


def _divide_masks(root: Path, validation: Path) -> Splits:
    """Divides images with masks as the run did."""
    return masks.divide(root, _names_in(validation, root), image_sets.encode)


def _names_in(validation: Path, root: Path) -> set[Path]:
    try:
        with validation.open(encoding="utf-8", newline="") as rows:
            return {Path(row["image"]).resolve() for row in csv.DictReader(rows)}
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            f"there is no {validation}, which lists the validation images of {root}"
        ) from None


def _divided(root: Path, validation: Path) -> Splits:
    """Divides a folder as the run did, by the names of its validation images."""
    kept_apart = _names_in(validation, root)
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
    words = f"{root}, the run's {part} images"
    return image_sets.of_files(words, files, root, skip_unreadable=True)
