"""COCO's 80 classes of objects, in coco.csv: their numbers, ids and names."""

from __future__ import annotations

import csv
import functools
from importlib import resources


@functools.cache
def coco_category_ids() -> dict[str, int]:
    """Returns the ids that COCO's files give its 80 classes, 1 to 90, by their names.

    They are in the order of the published models' class numbers.

    Source: arXiv:1405.0312; cocodataset.org's instances_val2017.json.

    Example:
        >>> from keras_convnext.detection.coco_classes import coco_category_ids
        >>> ids = coco_category_ids()
        >>> list(ids)[:2], ids["toothbrush"]
        (['person', 'bicycle'], 90)
    """
    file = resources.files("keras_convnext.detection") / "coco.csv"
    rows = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
    return {row["name"]: int(row["id"]) for row in rows}
