"""COCO's average precision of boxes, which an export may not lose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from keras_convnext.detection import Objects, coco_results

from ..images.image_set import TrueObjects


def average_precision(truth: Sequence[TrueObjects], found: Sequence[Objects]) -> float:
    """Returns the mean over classes and overlaps of 0.5 to 0.95, 0 to 1.

    Args:
        truth: The objects of each image; crowds count neither way.
        found: What a model finds in each, the best first.

    Returns:
        The first of pycocotools' twelve figures; -1 where there is no object.
    """
    import hotcoco

    numbers = np.concatenate(
        [*(each.classes for each in truth), *(each.classes for each in found)]
    )
    classes = range(int(np.max(numbers, initial=-1)) + 1)
    annotations: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for image, (one, other) in enumerate(zip(truth, found, strict=True)):
        # The sizes of images count for masks alone.
        plain = Objects(one.boxes, np.ones(len(one.boxes)), one.classes)
        rows = coco_results.to_results(plain, image, (0, 0), classes)
        for row, is_crowd in zip(rows, one.is_crowd, strict=True):
            # The area only says which objects are small; all of them count here.
            row |= {"id": len(annotations) + 1, "iscrowd": int(is_crowd), "area": 1}
            annotations.append(row)
        boxes = replace(other, masks=None)
        detections += coco_results.to_results(boxes, image, (0, 0), classes)
    known = hotcoco.COCO(
        {
            "images": [{"id": image} for image in range(len(truth))],
            "categories": [{"id": number, "name": str(number)} for number in classes],
            "annotations": annotations,
        }
    )
    return float(coco_results.evaluate(known, detections, "bbox").stats[0])
