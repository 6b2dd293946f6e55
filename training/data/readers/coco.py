"""A person's own images with boxes and masks, listed in COCO's JSON format."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from keras_convnext._data import coco_sets
from keras_convnext._data.coco_sets import CocoExample
from keras_convnext._files import legible

from ..box_examples import BoxExamples, BoxFiles
from ..examples import Files
from ..file_check import check_files, remarks
from ..image_files import CheckedImage
from . import same_images
from .found import Found


def load(
    rest: str,
    *,
    validation_share: float,
    seed: int,
    skip_bad_images: bool,
    cache: Path,
    whole: str | None = None,
) -> Found[tuple[str, ...], BoxExamples]:
    """Reads, checks and splits the images that a `coco:` names.

    Args:
        rest: What stands behind "coco:".
        validation_share: Part of the images that validation gets where one file has
            all of them.
        seed: Of that split.
        skip_bad_images: Leave images that cannot be used out instead of refusing.
        cache: Folder for copies of what TensorFlow cannot read, and for the results of
            the checks.
        whole: "test" or "all": that part alone, for training and validation alike. None
            looks for both.

    Raises:
        DataError: With all that is wrong.
    """
    checked: dict[Path, CheckedImage] = {}

    def find_unreadable(files: Sequence[Path]) -> Mapping[Path, str]:
        if files:
            root = Path(os.path.commonpath([file.parent for file in files]))
            checked.update(check_files(root, files, cache))
        return {file: checked[file].problem for file in files if checked[file].problem}

    found = coco_sets.load(
        rest,
        validation_share=validation_share,
        seed=seed,
        skip_bad_images=skip_bad_images,
        whole=whole,
        find_unreadable=find_unreadable,
    )
    parts = found.train, found.validation
    train, validation = (_examples(part, checked, found.has_masks) for part in parts)
    seen = [[checked[example.path] for example in part] for part in parts]
    return Found(
        found.classes,
        train,
        validation,
        skipped=found.skipped,
        notices=(
            *found.notices,
            *remarks({image.path: image for part in seen for image in part}.values()),
            *(same_images.in_both(*seen) if whole is None else ()),
        ),
        drawn=found.drawn,
        category_numbers=found.category_numbers,
    )


def _examples(
    part: Sequence[CocoExample], checked: Mapping[Path, CheckedImage], has_masks: bool
) -> BoxFiles:
    images = [checked[example.path] for example in part]
    files = Files(
        tuple(os.fsencode(image.readable) for image in images),
        np.zeros(len(images), np.int32),
        np.array([image.way for image in images], np.int32),
        tuple(legible(image.path) for image in images),
    )
    return BoxFiles(files, tuple(example.image for example in part), has_masks)
