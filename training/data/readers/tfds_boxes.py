"""Data sets of tensorflow-datasets with boxes around objects: COCO, Pascal VOC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras_convnext._data.data_error import DataError

from ..box_records import BoxRecords
from . import tfds

_KEYS = ("image", "objects")
# Beside these two an object may have "is_crowd" and "area".
_OBJECT_KEYS = ("bbox", "label")


@dataclass(frozen=True)
class NamedBoxes:
    """What was found under the name.

    Attributes:
        classes: Names in the order of the labels.
        train: Training images.
        validation: Validation images.
        notices: Remarks worth a line each.
        drawn: Whether the validation images are a share of the only split.
        skipped: Nothing.
    """

    classes: tuple[str, ...]
    train: BoxRecords
    validation: BoxRecords
    notices: tuple[str, ...] = ()
    drawn: bool = False
    skipped: tuple[tuple[str, str], ...] = ()

    @property
    def category_numbers(self) -> tuple[int, ...]:
        """The ids of the classes, which here are their numbers."""
        return tuple(range(len(self.classes)))


def load(
    name: str,
    *,
    data_dir: str | None,
    validation_share: float,
    whole: str | None = None,
) -> NamedBoxes:
    """Finds, prepares where needed, and opens a data set.

    Args:
        name: What tensorflow-datasets calls it, or the folder it was prepared in.
        data_dir: Where prepared data sets lie; None for tensorflow-datasets' own place.
        validation_share: Part of the training split that validation gets where there
            is no other split.
        whole: "test" or "all": that part alone, for training and validation alike.

    Raises:
        DataError: It has no boxes, or cannot be had.
    """
    with tfds.silence():
        builder = tfds.open_builder(name, data_dir)
        classes = _classes(name, builder)
        tfds.prepare(name, builder)
        splits = (
            tfds.split_words(name, builder.info, validation_share)
            if whole is None
            else (tfds.whole_words(name, builder.info, whole),)
        )
        parts = [
            BoxRecords(
                builder.info.splits[split].num_examples,
                tfds.stream_pairs(builder, split, *_KEYS),
            )
            for split in splits
        ]
    notice = f"{name}: the objects have boxes alone; tensorflow-datasets has no masks."
    return NamedBoxes(classes, parts[0], parts[-1], (notice,), "[" in splits[-1])


def _classes(name: str, builder: Any) -> tuple[str, ...]:
    features = builder.info.features
    found = dict(features) if hasattr(features, "items") else {}
    objects = getattr(found.get("objects"), "feature", {})
    inner = dict(objects) if hasattr(objects, "items") else {}
    if "image" not in found or not all(key in inner for key in _OBJECT_KEYS):
        raise DataError(
            f"{name!r} does not hold objects with bbox and label; its features are "
            f"{', '.join(sorted(found)) or 'none'}. tfds:coco/2017 does."
        )
    if builder.info.file_format.value == "array_record":
        raise DataError(
            f"{name!r} is prepared as ArrayRecord, of which boxes are not read; "
            "prepare it as tfrecord."
        )
    return tuple(inner["label"].names)
