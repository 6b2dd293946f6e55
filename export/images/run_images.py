"""The images of the training run beside a model, as its files name them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from keras_convnext._messages import UsageError

from . import image_sets
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
    whole = splits.training
    if not splits.undivided or whole is None:
        return splits
    return _divide(whole, workdir / _VALIDATION)


def _divide(whole: ImageSet, validation: Path) -> Splits:
    """Divides files as a run did, by the names of its validation images."""
    try:
        with validation.open(encoding="utf-8", newline="") as rows:
            names = {Path(row["image"]).resolve() for row in csv.DictReader(rows)}
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            f"there is no {validation}, which lists the validation images of "
            f"{whole.words}"
        ) from None
    paths = [path.resolve() for path in whole.paths]
    if gone := names.difference(paths):
        raise UsageError(
            f"{len(gone)} of the images that {validation} names are not in "
            f"{whole.words} any more"
        )
    is_kept = np.array([path in names for path in paths], bool)
    training, kept = (
        whole.part(f"{whole.words}, the run's {words} images", np.flatnonzero(them))
        for words, them in (("training", ~is_kept), ("validation", is_kept))
    )
    return Splits(training, kept)
