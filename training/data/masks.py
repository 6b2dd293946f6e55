"""Finds the images with masks that `--data` names, checked and split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from keras_convnext._data import forms
from keras_convnext._data.data_error import DataError, check_share
from keras_convnext._data.mask_classes import MaskClasses
from keras_convnext._files import cache_home
from keras_convnext.preprocessing import WHOLE_IMAGE, Preprocessing

from .mask_examples import MaskFiles, MaskRecords
from .mask_source import MaskSource
from .readers import mask_folder, tfds_masks
from .readers.found import Found

_Found = Found[MaskClasses, MaskFiles] | Found[MaskClasses, MaskRecords]


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
    reduce_zero_label: bool = False,
) -> MaskSource:
    """Finds the data, checks all of it, and splits it where it is not split.

    Args:
        spec: "masks:DIR", or "tfds:scene_parse150" with or without its prefix.
        size_px: Side of the square crops of training, and the shorter side of images
            in validation.
        validation_share: Part for validation if the data has no split of its own.
        seed: Of that split.
        skip_bad_images: Leave images out that cannot be used, instead of refusing.
        preprocessing: What the weights expect; None is ImageNet's mean and deviation.
        data_dir: Where tensorflow-datasets' data sets lie; None is its own place.
        split: Which examples are `validation`: "validation", "train", "test" or "all".
            With the last two `training` is the same examples.
        reduce_zero_label: 0 in the masks does not count and the classes begin with 1,
            where classes.txt does not say so itself.

    Raises:
        DataError: The data cannot be used; says all that is wrong.
    """
    check_share(validation_share)
    kind, rest = forms.parse(spec)
    whole = split if split in ("test", "all") else None
    is_path = ":" not in spec and Path(spec).expanduser().exists()
    if kind == "masks" and rest:
        found: _Found = mask_folder.load(
            rest,
            validation_share=validation_share,
            seed=seed,
            skip_bad_images=skip_bad_images,
            cache=cache_home(),
            reduce_zero_label=reduce_zero_label,
            whole=whole,
        )
    elif kind == "tfds" and rest and not is_path:
        found = tfds_masks.load(
            rest, data_dir=data_dir, validation_share=validation_share, whole=whole
        )
    else:
        words = f"{spec!r} names no images with masks. Give {forms.MASK_FORMS}."
        raise DataError(f"{words} {forms.proposal(spec)}".strip())
    chosen = preprocessing or replace(WHOLE_IMAGE, size_px=size_px)
    return MaskSource(
        spec,
        found.classes.names,
        found.train,
        found.validation if split != "train" else found.train,
        chosen,
        found.skipped,
        found.notices,
        found.drawn,
    )
