"""Published UPerNets by name.

The records lie in checkpoints.csv, one line a checkpoint.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources

from keras_convnext._find_by_name import find_by_name, match_names
from keras_convnext.preprocessing import WHOLE_IMAGE
from keras_convnext.weights.pretrained import PretrainedWeights

PREFIX = "upernet_"
ADE20K_CLASSES = 150


@dataclass(frozen=True)
class PublishedUPerNet:
    """One published UPerNet, trained on ADE20K's 150 classes.

    Attributes:
        weights: Where the file is, and under which license.
        crop_px: Side of the square crops that it was trained on; windows of this size
            and strides of two thirds of it gave `miou`.
        miou: Published mean intersection over union on ADE20K's validation images, in
            percent, one scale; None where nobody states one.
        miou_multi_scale: The same over six scales and their mirror images.
        figures_from: Who published them.
    """

    weights: PretrainedWeights
    crop_px: int
    miou: float | None
    miou_multi_scale: float | None
    figures_from: str


@functools.cache
def records() -> Mapping[str, PublishedUPerNet]:
    """Returns every record by its name, such as "upernet_convnext_tiny.ade20k_512"."""
    file = resources.files("keras_convnext.segmentation") / "checkpoints.csv"
    rows = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
    return {row["name"]: _record(row) for row in rows}


def list_upernets(pattern: str = "*") -> list[str]:
    """Returns the names of the published UPerNets that match a pattern.

    Args:
        pattern: Shell-style, for example "*base*" or "*.ade20k_640".

    Example:
        >>> from keras_convnext.segmentation import list_upernets
        >>> list_upernets("*tiny.ade20k*")
        ['upernet_convnext_tiny.ade20k_512']
    """
    return match_names(records(), pattern)


def find(name: str) -> PublishedUPerNet:
    """Returns the record called `name`.

    Raises:
        ValueError: There is none; the message names the closest three.
    """
    return find_by_name(
        name,
        records(),
        "published UPerNet",
        "keras_convnext.segmentation.list_upernets",
    )


def _record(row: Mapping[str, str]) -> PublishedUPerNet:
    is_hub = row["source"].startswith("hub:")
    crop_px = int(row["crop_px"])
    preprocessing = replace(WHOLE_IMAGE, size_px=crop_px)
    return PublishedUPerNet(
        weights=PretrainedWeights(
            name=row["name"],
            variant=row["variant"],
            publisher=row["publisher"],
            hub_id=row["source"].removeprefix("hub:") if is_hub else None,
            url=None if is_hub else row["source"],
            files=(row["file"],),
            checksum=row["checksum"] or None,
            size_bytes=None,
            license=row["license"],
            classes=ADE20K_CLASSES,
            role="",
            preprocessing=preprocessing,
            test_preprocessing=preprocessing,
            accuracy=None,
            test_accuracy=None,
            note=row["note"],
        ),
        crop_px=crop_px,
        miou=float(row["miou"]) if row["miou"] else None,
        miou_multi_scale=(
            float(row["miou_multi_scale"]) if row["miou_multi_scale"] else None
        ),
        figures_from=row["figures_from"],
    )
