"""A person's own images with masks: images/ and annotations/, or ADE20K's tree."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from keras_convnext._data.data_error import DataError, SplitError
from keras_convnext._data.draw_split import draw_split
from keras_convnext._data.mask_classes import (
    MaskClasses,
    missing_classes,
    read_classes,
    reduce_zero,
)
from keras_convnext._data.mask_folders import (
    ANNOTATIONS,
    IMAGES,
    MaskedImage,
    MaskPart,
    find_parts,
    list_part,
)
from keras_convnext._files import first_few, is_image, legible

from ..examples import Files
from ..file_check import Unusable, check_files, remarks, unreadable
from ..image_files import CheckedImage
from ..mask_examples import MaskFiles
from ..mask_files import CheckedMask, check_masks
from . import mask_numbers, same_images
from .found import Found

_Checked = tuple[MaskedImage, CheckedImage, CheckedMask]


def load(
    path: str,
    *,
    validation_share: float,
    seed: int,
    skip_bad_images: bool,
    cache: Path,
    reduce_zero_label: bool = False,
    whole: str | None = None,
) -> Found[MaskClasses, MaskFiles]:
    """Lists, checks and splits the images under a path.

    Args:
        path: The folder of images/ and annotations/.
        validation_share: Part of the images that validation gets where the folder is
            not split already.
        seed: Of that split.
        skip_bad_images: Leave images that cannot be used out instead of refusing.
        cache: Folder for copies of what TensorFlow cannot read, and for the results of
            the checks.
        reduce_zero_label: 0 in the masks does not count, and the classes begin with 1,
            where classes.txt does not say so itself.
        whole: "test" or "all": that part alone, for training and validation alike. None
            looks for both.

    Raises:
        DataError: With all that is wrong.
    """
    root = Path(path).expanduser()
    try:
        names = _chosen_parts(root, find_parts(root), whole)
        parts = [list_part(root, name) for name in names]
        classes = read_classes(root)
    except OSError as error:
        raise DataError(
            f"{error.filename} cannot be read: {error.strerror}."
        ) from error
    skipped = _refuse_listing(parts, skip_bad_images)
    checked, bad = _check(root, parts, skip_bad_images, cache)
    masks = [mask for part in checked for _, _, mask in part]
    numbers = mask_numbers.list_numbers(masks)
    if classes is None:
        raise DataError(missing_classes(root, numbers))
    said = classes
    if reduce_zero_label:
        classes = reduce_zero(classes)
    mask_numbers.refuse_unknown(root / ANNOTATIONS, masks, classes)
    drawn = len(parts) == 1 and whole is None
    if drawn:
        if len(checked[0]) < 2:
            raise SplitError(
                f"{root} has one image, which cannot be split into training and "
                "validation. Add images, or make images/train and images/val yourself."
            )
        checked = [list(x) for x in draw_split(checked[0], validation_share, seed)]
    elif whole is not None:
        checked = [[one for part in checked for one in part]]
    examples = [_examples(part, classes) for part in checked]
    train, validation = examples[0], examples[-1]
    seen = [[image for _, image, _ in part] for part in checked]
    images = {image.path: image for part in seen for image in part}
    return Found(
        classes,
        train,
        validation,
        (*skipped, *bad),
        (
            *_beside(root, names),
            *(line for part in parts for line in part.notices),
            *remarks(images.values()),
            *(same_images.in_both(*seen) if whole is None else ()),
            *mask_numbers.describe_reduced(said, classes),
            *mask_numbers.describe_absent(
                train.pixels, validation.pixels, classes, numbers
            ),
        ),
        drawn,
    )


def _chosen_parts(root: Path, found: Mapping[str, str], whole: str | None) -> list[str]:
    """Returns the folders of the parts that are used: "" for a folder without parts."""
    if whole == "test":
        if "test" not in found:
            raise DataError(f"{root / IMAGES} has no folder test/.")
        return [found["test"]]
    if not found:
        return [""]
    if whole == "all":
        return list(found.values())
    if "train" not in found:
        raise SplitError(
            f"{root / IMAGES} has {first_few(f'{name}/' for name in found.values())} "
            "and no train/ or training/ to train on."
        )
    validation = [found[kind] for kind in ("validation", "test") if kind in found]
    return [found["train"], *validation[:1]]


def _refuse_listing(
    parts: Sequence[MaskPart], skip: bool
) -> tuple[tuple[str, str], ...]:
    """Refuses images without a mask of their own, or returns those left out."""
    problems = [line for part in parts for line in part.problems()]
    if not all(part.pairs for part in parts) or (problems and not skip):
        hint = (
            " (--skip_bad_images leaves them out)"
            if all(part.pairs and not part.ambiguous for part in parts)
            else ""
        )
        raise DataError("\n".join(problems) + hint)
    return tuple(
        (legible(image), "has no mask") for part in parts for image in part.unmasked
    )


def _check(
    root: Path, parts: Sequence[MaskPart], skip: bool, cache: Path
) -> tuple[list[list[_Checked]], tuple[tuple[str, str], ...]]:
    """Returns the usable images of each part, and path and reason of the others."""
    pairs = [pair for part in parts for pair in part.pairs]
    images = check_files(root, [pair.image for pair in pairs], cache)
    readable = [pair for pair in pairs if not images[pair.image].problem]
    masks = {
        pair.mask: mask
        for pair, mask in zip(
            readable,
            check_masks(root / ANNOTATIONS, readable, images, cache),
            strict=True,
        )
    }
    bad = [image for image in images.values() if image.problem]
    bad_masks = [mask for mask in masks.values() if mask.problem]
    problems = []
    if bad:
        problems.append(unreadable(bad, len(images)))
    if bad_masks:
        problems.append(unreadable(bad_masks, len(pairs), "masks"))
    if problems and not skip:
        raise DataError("\n".join(problems))
    checked = [
        [
            (pair, images[pair.image], masks[pair.mask])
            for pair in part.pairs
            if pair.mask in masks and not masks[pair.mask].problem
        ]
        for part in parts
    ]
    if not all(checked):
        raise DataError("\n".join(problems))
    unused: list[Unusable] = [*bad, *bad_masks]
    return checked, tuple((legible(one.path), one.problem) for one in unused)


def _examples(checked: Sequence[_Checked], classes: MaskClasses) -> MaskFiles:
    images = Files(
        tuple(os.fsencode(image.readable) for _, image, _ in checked),
        np.zeros(len(checked), np.int32),
        np.array([image.way for _, image, _ in checked], np.int32),
        tuple(legible(image.path) for _, image, _ in checked),
    )
    masks = tuple(os.fsencode(mask.readable) for _, _, mask in checked)
    bits = np.array([mask.bits for _, _, mask in checked], np.int32)
    pixels = mask_numbers.count_pixels((mask for _, _, mask in checked), classes)
    return MaskFiles(images, masks, bits, classes, pixels)


def _beside(root: Path, names: Sequence[str]) -> list[str]:
    """Returns a line on images that lie beside the folders that split the rest."""
    if names == [""]:
        return []
    files = [file for file in sorted((root / IMAGES).iterdir()) if is_image(file)]
    if not files:
        return []
    return [
        f"{root / IMAGES}: images beside {names[0]}/, ignored: "
        f"{first_few(file.name for file in files)}."
    ]
