"""Images with objects: what `--data=coco:` of training names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from keras_convnext._data import coco_sets
from keras_convnext._data.coco_sets import CocoExample
from keras_convnext._messages import UsageError

from .image_set import EncodedImage, ImageSet, Splits, TrueObjects

Encode = Callable[[Path], bytes]


def find_coco(
    named: str, encode: Encode, split: tuple[float, int] | None = None
) -> Splits:
    """Returns the images that files of COCO's format list.

    Args:
        named: What stands behind "coco:".
        encode: Returns a file that an exported graph can decode, for an image's.
        split: Share and seed with which a run drew validation examples, whose images
            may be damaged; None leaves them together, if one file has all of them.

    Raises:
        DataError: There are none, or they cannot be used.
    """
    share, seed = split or (0.2, 0)
    found = coco_sets.load(
        named,
        validation_share=share,
        seed=seed,
        skip_bad_images=split is not None,
    )
    if found.drawn and split is None:
        both = (*found.train, *found.validation)
        examples = tuple(sorted(both, key=lambda example: str(example.path)))
        whole = _of_examples(f"coco:{named}", examples, found.classes, encode)
        return Splits(whole, whole, undivided=True)
    training, validation = (
        _of_examples(f"coco:{named}, {words}", examples, found.classes, encode)
        for words, examples in (
            ("train", found.train),
            ("validation", found.validation),
        )
    )
    return Splits(training, validation)


def _of_examples(
    words: str,
    examples: Sequence[CocoExample],
    classes: tuple[str, ...],
    encode: Encode,
) -> ImageSet:
    def read(numbers: Iterable[int]) -> list[EncodedImage]:
        found = []
        for path, image in (examples[number] for number in numbers):
            try:
                contents = encode(path)
            except ValueError as error:
                raise UsageError(f"{path}: {error}") from error
            boxes = np.array([one.box for one in image.objects], np.float64)
            left, top, width, height = boxes.reshape(-1, 4).T
            objects = TrueObjects(
                np.stack([top, left, top + height, left + width], axis=-1),
                np.array([one.label for one in image.objects], int),
                np.array([one.is_crowd for one in image.objects], bool),
            )
            found.append(
                EncodedImage(path.name, contents, objects=objects, classes=classes)
            )
        return found

    return ImageSet(words, len(examples), read)
