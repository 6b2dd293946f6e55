"""The scene parsing data set of tensorflow-datasets: images with masks in records.

Its masks are those of ADE20K's instance challenge: three channels, of which the first
holds one of 100 kinds of things and the second the instance; walls, floors or sky are
0 like everything else. Where all channels are the same, as in records made of ADE20K's
own masks, they hold the 150 classes.

Source: tensorflow-datasets 4.9, its builder; github.com/CSAILVision/placeschallenge,
instancesegmentation/README.md and instanceInfo100_train.txt.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_convnext._data.data_error import DataError
from keras_convnext._data.mask_classes import IGNORED_LINE, MaskClasses, ade20k
from keras_convnext.segmentation.palette import ade20k_classes

from ..mask_examples import MaskRecords
from . import tfds, tfds_builder
from .found import Found

NAME = "scene_parse150"
_KEYS = ("image", "annotation")
# Masks that are looked at to tell the two kinds apart.
_SEEN = 8
# Numbers in ADE20K's 150 of the 100 kinds of things, from 1 in the masks.
_THINGS = (
    *(7, 8, 10, 12, 14, 15, 18, 19, 20, 22, 23, 24, 27, 30, 31, 32, 33, 35, 36, 37, 38),
    *(39, 41, 42, 43, 44, 45, 47, 49, 50, 53, 55, 56, 57, 58, 62, 64, 65, 66, 67, 69),
    *(70, 71, 72, 73, 74, 75, 76, 78, 80, 81, 82, 83, 85, 86, 87, 88, 89, 90, 92, 93),
    *(95, 97, 98, 102, 103, 104, 107, 108, 110, 111, 112, 115, 116, 118, 119, 120, 121),
    *(123, 124, 125, 126, 127, 129, 130, 132, 133, 134, 135, 136, 137, 138, 139, 142),
    *(143, 144, 146, 147, 148, 149),
)
_THINGS_NOTICE = (
    "its masks are those of ADE20K's instances: 100 kinds of things, without walls, "
    "sky and the like. For the 150 classes of scene parsing give the folder of "
    "ADEChallengeData2016: --data=masks:DIR"
)


def load(
    name: str,
    *,
    data_dir: str | None,
    validation_share: float,
    whole: str | None = None,
) -> Found[MaskClasses, MaskRecords]:
    """Finds, prepares where needed, and opens scene_parse150.

    Args:
        name: What tensorflow-datasets calls it, or the folder it was prepared in.
        data_dir: Where prepared data sets lie; None for tensorflow-datasets' own place.
        validation_share: Part of the training split that validation gets where there
            is no other split.
        whole: "test" or "all": that part alone, for training and validation alike.

    Raises:
        DataError: It is another data set, or cannot be had.
    """
    with tfds_builder.silence():
        builder = tfds_builder.open_builder(name, data_dir)
        _require_scene_parsing(name, builder)
        splits = tfds_builder.prepared_splits(name, builder, validation_share, whole)
        streams = [tfds.stream_pairs(builder, split, *_KEYS) for split in splits]
        counts = [builder.info.splits[split].num_examples for split in splits]
    is_plain = _has_equal_channels(streams[0](None))
    things = (ade20k_classes()[number] for number in _THINGS)
    classes = ade20k() if is_plain else MaskClasses((IGNORED_LINE, *things))
    parts = [
        MaskRecords(count, stream, classes)
        for count, stream in zip(counts, streams, strict=True)
    ]
    notices = () if is_plain else (f"{name}: {_THINGS_NOTICE}.",)
    drawn = "[" in splits[-1]
    return Found(classes, parts[0], parts[-1], notices=notices, drawn=drawn)


def _require_scene_parsing(name: str, builder: Any) -> None:
    found = dict(builder.info.features) if builder.name == NAME else {}
    if not set(_KEYS) <= found.keys():
        raise DataError(
            f"{name!r} does not hold masks whose classes are known: of "
            f"tensorflow-datasets' data sets {NAME} is read. Write others as images "
            "and PNG masks, and give masks:DIR."
        )
    tfds_builder.refuse_array_record(name, builder, "masks")


def _has_equal_channels(rows: tf.data.Dataset) -> bool:
    masks = (
        tf.image.decode_png(mask, channels=3).numpy() for _, mask in rows.take(_SEEN)
    )
    return all((mask == mask[..., :1]).all() for mask in masks)
