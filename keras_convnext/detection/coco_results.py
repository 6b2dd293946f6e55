"""Detections in COCO's result format, masks as run lengths, and their figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from keras_convnext.detection.inference import Objects
from keras_convnext.detection.paste import mask_parts

# With a box, too, its area instead of the mask's would say which objects are small.
_KEYS = ("image_id", "category_id", "score")
_SHAPES = {"bbox": "bbox", "segm": "segmentation"}


def to_results(
    objects: Objects, image_id: Any, shape: tuple[int, int], category_ids: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """Yields the objects of an image, as predictions.json has them.

    A box without finite sides or score is left out: COCO's metrics compare what is no
    number to the threshold in a way that lets it match anything.

    Args:
        objects: Of the image.
        image_id: Its id.
        shape: Its height and width.
        category_ids: The ids of the classes.

    Yields:
        "image_id", "category_id", "bbox" (x, y, width, height), "score", and
        "segmentation" where objects have masks.

    Source: cocodataset.org, its format of results.
    """
    known = np.isfinite(objects.boxes).all(axis=1) & np.isfinite(objects.scores)
    segmentations: Any = None
    if objects.masks is not None:
        parts = mask_parts(objects.masks[known], objects.boxes[known], *shape)
        segmentations = (encode_part(*part, *shape) for part in parts)
    for box, score, number in zip(
        objects.boxes[known].astype(float),
        objects.scores[known].tolist(),
        objects.classes[known],
        strict=True,
    ):
        y0, x0, y1, x1 = box.tolist()
        yield {
            "image_id": image_id,
            "category_id": category_ids[number],
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "score": score,
            **({"segmentation": next(segmentations)} if segmentations else {}),
        }


def encode_part(
    rows: slice, columns: slice, part: np.ndarray, height: int, width: int
) -> dict[str, Any]:
    """Returns a mask that is zero but for a part, as COCO's compressed run lengths.

    Args:
        rows: Of the part.
        columns: Of the part.
        part: bool `(rows, columns)`.
        height: Of the whole mask, in pixels.
        width: Of the whole mask, in pixels.

    Returns:
        "size" and "counts", which JSON can hold.
    """
    from hotcoco import mask as run_lengths

    # Runs go down the columns: a change where one begins, and one behind its end.
    padded = np.zeros((part.shape[1], part.shape[0] + 2), bool)
    padded[:, 1:-1] = part.T
    changes = np.flatnonzero(padded[:, 1:] != padded[:, :-1])
    column, row = np.divmod(changes, part.shape[0] + 1)
    places = (columns.start + column) * height + rows.start + row
    # A run to the foot of a column may go on at the head of the next one.
    goes_on = np.flatnonzero(places[1:-1:2] == places[2::2]) * 2 + 1
    places = np.delete(places, [goes_on, goes_on + 1])
    counts = np.diff(places, prepend=0, append=height * width)
    if counts[-1] == 0:
        counts = counts[:-1]
    raw = {"size": [height, width], "counts": counts.tolist()}
    encoded = run_lengths.frPyObjects(raw, height, width)
    return {**raw, "counts": encoded["counts"].decode("ascii")}


def evaluate(truth: Any, detections: Sequence[dict[str, Any]], kind: str) -> Any:
    """Returns COCO's evaluation of detections, whose `stats` are its twelve figures.

    Args:
        truth: A `hotcoco.COCO`.
        detections: Of `to_results`.
        kind: "bbox" or "segm".
    """
    import hotcoco

    keys = (*_KEYS, _SHAPES[kind])
    results = truth.load_res([{key: each[key] for key in keys} for each in detections])
    evaluation = hotcoco.COCOeval(truth, results, kind)
    evaluation.evaluate()
    evaluation.accumulate()
    # It computes the figures, without printing them.
    evaluation.summary_lines()
    return evaluation
