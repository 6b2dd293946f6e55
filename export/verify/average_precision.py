"""COCO's average precision of boxes, which an export may not lose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_convnext.detection import Objects

from ..images.image_set import TrueObjects


def average_precision(truth: Sequence[TrueObjects], found: Sequence[Objects]) -> float:
    """Returns the mean over classes and overlaps of 0.5 to 0.95, 0 to 1.

    Args:
        truth: The objects of each image; crowds count neither way.
        found: What a model finds in each, the best first. A box with a side that is no
            number is left out: COCO's metrics would let it match anything.

    Returns:
        The first of pycocotools' twelve figures; -1 where there is no object.
    """
    import hotcoco

    objects = [
        {**_row(image, one, number), "iscrowd": int(one.is_crowd[number])}
        for image, one in enumerate(truth)
        for number in range(len(one.boxes))
    ]
    # The area only says which objects are small; all of them count here.
    annotations = [
        {**each, "id": place, "area": 1} for place, each in enumerate(objects, 1)
    ]
    detections = [
        {**_row(image, one, number), "score": float(one.scores[number])}
        for image, one in enumerate(found)
        for number in range(len(one.boxes))
        if np.isfinite(one.boxes[number]).all()
    ]
    classes = {each["category_id"] for each in (*annotations, *detections)}
    known = hotcoco.COCO(
        {
            "images": [{"id": image} for image in range(len(truth))],
            "categories": [{"id": number, "name": str(number)} for number in classes],
            "annotations": annotations,
        }
    )
    evaluation = hotcoco.COCOeval(known, known.load_res(detections), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    # It computes the figures, without printing them.
    evaluation.summary_lines()
    return float(evaluation.stats[0])


def _row(image: int, objects: TrueObjects | Objects, number: int) -> dict[str, Any]:
    """Returns an object of an image as COCO has it."""
    y0, x0, y1, x1 = map(float, objects.boxes[number])
    return {
        "image_id": image,
        "category_id": int(objects.classes[number]),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
    }
