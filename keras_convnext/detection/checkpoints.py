"""Published detectors by name.

The records lie in checkpoints.csv, one line a checkpoint.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from keras_convnext._find_by_name import find_by_name, match_names
from keras_convnext.preprocessing import DETECTION_IMAGE
from keras_convnext.weights.pretrained import PretrainedWeights

COCO_CLASSES = 80


@dataclass(frozen=True)
class PublishedDetector:
    """One published detector, trained on COCO's 80 classes.

    Attributes:
        weights: Where the file is, and under which license.
        box_ap: Published average precision of the boxes on COCO's 5,000 validation
            images, in percent; images have a shorter side of 800 pixels, or a longer
            one of 1,333.
        mask_ap: The same of the masks.
        figures_from: Who published them.
    """

    weights: PretrainedWeights
    box_ap: float
    mask_ap: float
    figures_from: str


@functools.cache
def records() -> Mapping[str, PublishedDetector]:
    """Returns every record by its name, such as "mask_rcnn_convnext_tiny.coco"."""
    file = resources.files("keras_convnext.detection") / "checkpoints.csv"
    rows = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
    return {row["name"]: _record(row) for row in rows}


def list_detectors(pattern: str = "*") -> list[str]:
    """Returns the names of the published detectors that match a pattern.

    Args:
        pattern: Shell-style, for example "cascade*" or "*tiny*".

    Example:
        >>> from keras_convnext.detection import list_detectors
        >>> list_detectors("mask_rcnn*")
        ['mask_rcnn_convnext_tiny.coco', 'mask_rcnn_convnext_tiny.mmdet_coco']
    """
    return match_names(records(), pattern)


def find(name: str) -> PublishedDetector:
    """Returns the record called `name`.

    Raises:
        ValueError: There is none; the message names the closest three.
    """
    return find_by_name(
        name, records(), "published detector", "keras_convnext.detection.list_detectors"
    )


def _record(row: Mapping[str, str]) -> PublishedDetector:
    return PublishedDetector(
        weights=PretrainedWeights(
            name=row["name"],
            variant=row["variant"],
            publisher=row["publisher"],
            hub_id=None,
            url=row["source"],
            files=(row["file"],),
            checksum=row["checksum"] or None,
            size_bytes=None,
            license=row["license"],
            classes=COCO_CLASSES,
            role="",
            preprocessing=DETECTION_IMAGE,
            test_preprocessing=DETECTION_IMAGE,
            accuracy=None,
            test_accuracy=None,
            note="",
        ),
        box_ap=float(row["box_ap"]),
        mask_ap=float(row["mask_ap"]),
        figures_from=row["figures_from"],
    )
