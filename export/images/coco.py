"""Images with objects: what `--data=coco:` of training names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_convnext._data import coco_sets
from keras_convnext._data.coco_sets import CocoExample

from . import image_files
from .image_set import EncodedImage, ImageSet, Splits, TrueObjects


def find_coco(named: str, skip_bad: bool = False) -> Splits:
    """Returns the images that files of COCO's format list.

    Args:
        named: What stands behind "coco:".
        skip_bad: Whether to leave out what cannot be used, as a run may have done.

    Raises:
        DataError: There are none, or they cannot be used.
    """
    found = coco_sets.load(
        named, validation_share=0.2, seed=0, skip_bad_images=skip_bad
    )

    def part(words: str, examples: Sequence[CocoExample]) -> ImageSet:
        def describe(number: int, contents: bytes) -> EncodedImage:
            path, image = examples[number]
            boxes = np.array([one.box for one in image.objects], np.float64)
            left, top, width, height = boxes.reshape(-1, 4).T
            objects = TrueObjects(
                np.stack([top, left, top + height, left + width], axis=-1),
                np.array([one.label for one in image.objects], int),
                np.array([one.is_crowd for one in image.objects], bool),
            )
            return EncodedImage(
                path.name, contents, objects=objects, classes=found.classes
            )

        paths = [example.path for example in examples]
        return image_files.of_paths(f"coco:{named}{words}", paths, describe, skip_bad)

    if found.drawn:
        both = (*found.train, *found.validation)
        whole = part("", sorted(both, key=lambda example: str(example.path)))
        return Splits(whole, whole, undivided=True)
    return Splits(part(", train", found.train), part(", validation", found.validation))
