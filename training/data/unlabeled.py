"""Finds the images that `--data` names, and leaves their labels alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from keras_convnext._data import forms
from keras_convnext._data.data_error import DataError, check_share
from keras_convnext._files import cache_home
from keras_convnext.preprocessing import IMAGENET

from . import boxes, loading, masks
from .readers import image_tree
from .source import Source
from .unlabeled_source import UnlabeledSource

# Data whose examples are image files with something beside.
_BESIDE: dict[str, Callable[..., Any]] = {"masks": masks.load, "coco": boxes.load}


def load(
    spec: str,
    *,
    size_px: int,
    patch_px: int,
    validation_share: float = 0.2,
    seed: int = 0,
    skip_bad_images: bool = False,
) -> UnlabeledSource:
    """Finds the data, checks all of it, and splits it where it is not split.

    Args:
        spec: "images:DIR", or any form of labeled images, masks or boxes.
        size_px: Side of the square images.
        patch_px: Side of the patches that are masked.
        validation_share: Part for validation if the data has no split of its own.
        seed: Of that split.
        skip_bad_images: Leave unreadable images out instead of refusing.

    Raises:
        DataError: The data cannot be used; says all that is wrong.
    """
    check_share(validation_share)
    kind, rest = forms.parse(spec)
    options: dict[str, Any] = {
        "validation_share": validation_share,
        "seed": seed,
        "skip_bad_images": skip_bad_images,
    }
    photographs = replace(IMAGENET, size_px=size_px)
    if kind == "images":
        if not rest:
            raise DataError(f"{spec} names no folder. Give {forms.UNLABELED_FORM}.")
        found = image_tree.load(rest, cache=cache_home(), **options)
        source = Source(
            spec,
            (),
            found.train,
            found.validation,
            photographs,
            found.skipped,
            found.notices,
            found.drawn,
        )
    elif kind in _BESIDE:
        whole = _BESIDE[kind](spec, size_px=size_px, **options)
        training, validation = whole.training.images, whole.validation.images
        source = replace(
            whole, training=training, validation=validation, preprocessing=photographs
        )
    else:
        try:
            source = loading.load(spec, size_px=size_px, **options)
        except DataError as error:
            if kind != "folder":
                raise
            raise DataError(
                f"{error} For images without class folders: {forms.UNLABELED_FORM}."
            ) from error
    return UnlabeledSource(
        spec,
        (),
        source.training,
        source.validation,
        source.preprocessing,
        source.skipped,
        source.notices,
        source.drawn,
        patch_px=patch_px,
    )
