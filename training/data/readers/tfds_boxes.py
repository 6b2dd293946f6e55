"""Data sets of tensorflow-datasets with boxes around objects: COCO, Pascal VOC."""

from __future__ import annotations

from typing import Any

from keras_convnext._data.data_error import DataError

from ..box_examples import BoxExamples
from ..box_records import BoxRecords
from . import tfds, tfds_builder
from .found import Found

_KEYS = ("image", "objects")
# Beside these two an object may have "is_crowd" and "area".
_OBJECT_KEYS = ("bbox", "label")


def load(
    name: str,
    *,
    data_dir: str | None,
    validation_share: float,
    whole: str | None = None,
) -> Found[tuple[str, ...], BoxExamples]:
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
    with tfds_builder.silence():
        builder = tfds_builder.open_builder(name, data_dir)
        classes = _classes(name, builder)
        splits = tfds_builder.prepared_splits(name, builder, validation_share, whole)
        parts = [
            BoxRecords(
                builder.info.splits[split].num_examples,
                tfds.stream_pairs(builder, split, *_KEYS),
            )
            for split in splits
        ]
    notice = f"{name}: the objects have boxes alone; tensorflow-datasets has no masks."
    return Found(
        classes,
        parts[0],
        parts[-1],
        notices=(notice,),
        drawn="[" in splits[-1],
        category_numbers=tuple(range(len(classes))),
    )


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
    tfds_builder.refuse_array_record(name, builder, "boxes")
    return tuple(inner["label"].names)
