"""Finds the images with objects that `--data` names, checked and split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from keras_convnext._data import forms
from keras_convnext._data.data_error import DataError, check_share
from keras_convnext._files import cache_home
from keras_convnext.preprocessing import DETECTION_IMAGE, Preprocessing

from .box_source import BoxSource
from .readers import coco, tfds_boxes


def load(
    spec: str,
    *,
    size_px: int,
    validation_share: float = 0.2,
    seed: int = 0,
    skip_bad_images: bool = False,
    preprocessing: Preprocessing | None = None,
    data_dir: str | None = None,
    split: str = "validation",
) -> BoxSource:
    """Finds the data, checks all of it, and splits it where it is not split.

    Args:
        spec: "coco:FILE.json:IMAGES", "coco:TRAIN.json,VAL.json:IMAGES", "coco:DIR", or
            "tfds:coco/2017" with or without its prefix.
        size_px: Shorter side of images in validation; training draws shares of it.
        validation_share: Part for validation if the data has no split of its own.
        seed: Of that split.
        skip_bad_images: Leave images out that cannot be used, instead of refusing.
        preprocessing: What the weights expect; None is ImageNet's mean and deviation.
        data_dir: Where tensorflow-datasets' data sets lie; None is its own place.
        split: Which examples are `validation`: "validation", "train", "test" or "all".
            With the last two `training` is the same examples.

    Raises:
        DataError: The data cannot be used; says all that is wrong.
    """
    check_share(validation_share)
    kind, rest = forms.parse(spec)
    whole = split if split in ("test", "all") else None
    is_path = ":" not in spec and Path(spec).expanduser().exists()
    if kind == "coco" and rest:
        found = coco.load(
            rest,
            validation_share=validation_share,
            seed=seed,
            skip_bad_images=skip_bad_images,
            cache=cache_home(),
            whole=whole,
        )
    elif kind == "tfds" and rest and not is_path:
        found = tfds_boxes.load(
            rest, data_dir=data_dir, validation_share=validation_share, whole=whole
        )
    else:
        words = f"{spec!r} names no images with objects. Give {forms.BOX_FORMS}."
        raise DataError(f"{words} {forms.proposal(spec)}".strip())
    return BoxSource(
        spec,
        found.classes,
        found.train,
        found.validation if split != "train" else found.train,
        preprocessing or replace(DETECTION_IMAGE, size_px=size_px),
        found.skipped,
        found.notices,
        found.drawn,
        category_numbers=found.category_numbers,
    )
