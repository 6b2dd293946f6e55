"""Images in numpy arrays, given or in an .npz file."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_convnext._data.data_error import DataError, SplitError

# uint8 images `(count, height, width, 3)` and int32 labels `(count,)`.
Labeled = tuple[np.ndarray, np.ndarray]

KEYS = ("train_images", "train_labels", "test_images", "test_labels")


def checked(images: Any, labels: Any, classes: int, part: str) -> Labeled:
    """Returns images and labels as they are trained on.

    Args:
        images: uint8 `(count, height, width, 3)`; without the last axis, or with 1
            instead of 3, they are gray.
        labels: Whole numbers `(count,)` from 0 to classes - 1.
        classes: How many there are.
        part: What to call these arrays in a message.

    Raises:
        DataError: With all that is wrong.
    """
    images, labels = np.asarray(images), np.asarray(labels)
    if images.ndim == 3:
        images = images[..., None]
    problems = []
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        problems.append(
            f"images of shape {images.shape}, not (count, height, width, 3)"
            + (_CHANNELS_LAST if images.ndim == 4 and images.shape[1] in (1, 3) else "")
        )
    if images.dtype != np.uint8:
        problems.append(
            f"images of type {images.dtype}{_range_of(images)}, not uint8 in 0..255"
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != images.shape[:1]:
        problems.append(
            f"labels of type {labels.dtype} and shape {labels.shape}, not a whole "
            f"number for each of the {len(images)} images{_labels_hint(labels)}"
        )
    elif not labels.size:
        problems.append("no images")
    elif labels.min() < 0 or labels.max() >= classes:
        problems.append(
            f"labels from {labels.min()} to {labels.max()}, not from 0 to {classes - 1}"
        )
    if problems:
        raise DataError(f"The {part} arrays cannot be used: {'; '.join(problems)}.")
    if images.shape[-1] == 1:
        images = np.repeat(images, 3, axis=-1)
    return images, labels.astype(np.int32)


_CHANNELS_LAST = " (images.transpose(0, 2, 3, 1) puts the channels last)"


def _range_of(images: np.ndarray) -> str:
    """Returns the range of the numbers, and how to convert them if possible."""
    if not images.size or images.dtype.kind not in "iuf":
        return ""
    if not np.isfinite(images).all():
        return " with values that are no numbers (NaN or infinite)"
    lowest, highest = images.min(), images.max()
    if lowest >= 0 and highest <= 1 and np.issubdtype(images.dtype, np.floating):
        way = " (np.rint(images * 255).astype(np.uint8) converts them)"
    elif lowest >= 0 and highest <= 255:
        way = " (np.rint(images).astype(np.uint8) converts them)"
    else:
        way = ""
    return f" from {lowest:g} to {highest:g}{way}"


def _labels_hint(labels: np.ndarray) -> str:
    """Returns how labels of another common form become numbers."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        return " (labels[:, 0] are)"
    if labels.ndim == 2:
        return " (labels.argmax(axis=1) are, if they are one-hot)"
    if labels.dtype.kind in "US":
        return " (classes, labels = np.unique(labels, return_inverse=True) makes them)"
    return ""


def load(path: str) -> tuple[tuple[str, ...], Labeled, Labeled]:
    """Returns the class names, training and evaluation images of an .npz file.

    It holds train_images, train_labels, test_images, test_labels and, where the
    classes have names, classes.

    Raises:
        DataError: The file cannot be read or holds something else.
    """
    found = read_npz(path, KEYS)
    classes = class_names(found.get("classes"), found["train_labels"])
    return (
        classes,
        checked(found[KEYS[0]], found[KEYS[1]], len(classes), "training"),
        checked(found[KEYS[2]], found[KEYS[3]], len(classes), "test"),
    )


def load_whole(path: str, *, part: str) -> tuple[tuple[str, ...], Labeled]:
    """Returns the class names and the images of an .npz file for evaluation only.

    Args:
        path: The file; test_images and test_labels are enough.
        part: "test", or "all" for the training images too where there are any.

    Raises:
        DataError: The file cannot be read or holds something else.
    """
    found = read_npz(path, KEYS[2:])
    pairs = [KEYS[2:]]
    if part == "all" and all(key in found for key in KEYS):
        pairs.append(KEYS[:2])
    every = np.concatenate([np.asarray(found[labels]).ravel() for _, labels in pairs])
    classes = class_names(found.get("classes"), every)
    read = [
        checked(found[images], found[labels], len(classes), images.split("_")[0])
        for images, labels in pairs
    ]
    if len({images.shape[1:] for images, _ in read}) > 1:
        raise DataError(
            f"{path} has training and test images of different sizes; evaluate them "
            "one after the other with --split=train and --split=test."
        )
    images, labels = (np.concatenate(arrays) for arrays in zip(*read, strict=True))
    return classes, (images, labels)


def read_npz(path: str, needed: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the arrays of an .npz file; some must be there."""
    file = Path(path).expanduser()
    try:
        with np.load(file, allow_pickle=False) as arrays:
            found = {key: arrays[key] for key in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{file} cannot be read as an .npz file: {error}") from error
    missing = [key for key in needed if key not in found]
    if missing:
        raise SplitError(
            f"{file} has no {', '.join(missing)}; it has {', '.join(sorted(found))}."
        )
    return found


def class_names(given: Sequence[Any] | None, labels: Any) -> tuple[str, ...]:
    """Returns the given names, or the numbers from 0 to the highest label."""
    if given is not None:
        return tuple(str(name) for name in given)
    # Not `initial=-1`, which labels without a sign cannot hold.
    highest = int(np.max(labels)) if np.size(labels) else -1
    return tuple(str(label) for label in range(highest + 1))
