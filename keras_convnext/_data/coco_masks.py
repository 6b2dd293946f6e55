"""The masks of COCO's objects: polygons or run lengths, checked, then drawn.

hotcoco draws them, as pycocotools does to the last pixel. Run lengths that do not fit
the image, and outlines without end, are refused before anything is allocated for them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# Polygons, float64 `(2 * points,)` each of x and y in turn; or compressed run lengths.
Segmentation = tuple[np.ndarray, ...] | bytes

# A polygon's outline is drawn point by point; a million pixels take 100 MB.
_LONGEST_OUTLINE_PX = 1_000_000
# Characters of compressed run lengths hold 5 bits each, and a sixth if more follow.
_FIRST_CHARACTER, _VALUE_BITS, _MORE, _SIGN = 48, 5, 0x20, 0x10
# A run of 2^35 pixels is longer than any image.
_MOST_CHARACTERS = 7


class BadSegmentation(ValueError):
    """A segmentation cannot be used; the text says why."""


def parse(value: Any, height: int, width: int) -> Segmentation | None:
    """Returns a segmentation as JSON has it, checked and stored in little memory.

    Args:
        value: Polygons `[[x0, y0, x1, y1, ...], ...]`, or run lengths `{"size":
            [height, width], "counts": ...}`, whole numbers or COCO's compressed text.
        height: Of the image, in pixels.
        width: Of the image, in pixels.

    Returns:
        None where the object has no mask: nothing is given, or an empty list.

    Raises:
        BadSegmentation: It is neither, or does not fit the image.
    """
    if value is None or value == []:
        return None
    if isinstance(value, list):
        return _parse_polygons(value)
    if isinstance(value, dict):
        return _parse_runs(value, height, width)
    raise BadSegmentation("a segmentation is neither polygons nor run lengths")


def _parse_polygons(value: list[Any]) -> tuple[np.ndarray, ...]:
    polygons = tuple(map(_parse_polygon, value))
    outline = sum(
        float(np.abs(np.diff(points, axis=0, append=points[:1])).max(axis=1).sum())
        for points in (polygon.reshape(-1, 2) for polygon in polygons)
    )
    if not outline + sum(map(len, polygons)) <= _LONGEST_OUTLINE_PX:
        raise BadSegmentation(
            f"the outline of polygons is longer than {_LONGEST_OUTLINE_PX:,} pixels"
        )
    return polygons


def _parse_polygon(value: Any) -> np.ndarray:
    try:
        points = np.asarray(value)
    except ValueError as error:
        raise BadSegmentation("a polygon is no list of numbers") from error
    if points.ndim != 1 or points.dtype.kind not in "iuf":
        raise BadSegmentation("a polygon is no list of numbers")
    if len(points) < 6 or len(points) % 2:
        raise BadSegmentation("a polygon is not three or more pairs of x and y")
    points = points.astype(np.float64)
    if not np.isfinite(points).all():
        raise BadSegmentation("a polygon holds NaN or infinity")
    return points


def _parse_runs(value: dict[str, Any], height: int, width: int) -> bytes:
    if value.get("size") != [height, width]:
        raise BadSegmentation("run lengths are of another size than their image")
    counts = value.get("counts")
    if isinstance(counts, str):
        if len(counts) > _MOST_CHARACTERS * (height * width + 1):
            raise BadSegmentation("more run lengths than the image has pixels")
        _check_runs(_decompress(counts), height * width)
        return counts.encode("ascii")
    try:
        runs = np.asarray(counts)
    except ValueError as error:
        raise BadSegmentation("run lengths are no list of whole numbers") from error
    if runs.ndim != 1 or runs.dtype.kind not in "iu":
        raise BadSegmentation("run lengths are no list of whole numbers")
    _check_runs(runs, height * width)
    from hotcoco import mask

    listed = {"size": [height, width], "counts": runs.tolist()}
    return bytes(mask.frPyObjects(listed, height, width)["counts"])


def _check_runs(runs: np.ndarray, pixels: int) -> None:
    # Each is looked at before they are summed up: a sum of huge ones overflows.
    if ((runs < 0) | (runs > pixels)).any():
        raise BadSegmentation("a run length is negative, or longer than the image")
    if runs.astype(np.float64).sum() != pixels:
        raise BadSegmentation("run lengths do not add up to the image's pixels")


def _decompress(text: str) -> np.ndarray:
    """Returns the run lengths of COCO's compressed text.

    Each is written in steps of 5 bits, the lowest first; from the fourth on as the
    difference from the one before the last.

    Source: github.com/cocodataset/cocoapi, common/maskApi.c, rleFrString.
    """
    try:
        characters = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64)
    except UnicodeEncodeError as error:
        raise BadSegmentation("compressed run lengths hold other characters") from error
    bits = characters - _FIRST_CHARACTER
    if ((bits < 0) | (bits > 63)).any():
        raise BadSegmentation("compressed run lengths hold other characters")
    is_last = bits & _MORE == 0
    if not len(bits) or not is_last[-1]:
        raise BadSegmentation("compressed run lengths end in the middle of a number")
    ends = np.flatnonzero(is_last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _MOST_CHARACTERS:
        raise BadSegmentation("a run length is negative, or longer than the image")
    places = np.arange(len(bits)) - np.repeat(starts, lengths)
    runs = np.add.reduceat((bits & 31) << (_VALUE_BITS * places), starts)
    runs -= np.where(bits[ends] & _SIGN, 1 << (_VALUE_BITS * lengths), 0)
    for first in (1, 2):
        runs[first::2] = np.cumsum(runs[first::2])
    return runs


def to_run_lengths(
    segmentation: Segmentation, height: int, width: int
) -> dict[str, Any]:
    """Returns a mask as COCO's run lengths, "size" and "counts", a text.

    Args:
        segmentation: From `parse`; several polygons are one mask.
        height: Of the image, in pixels.
        width: Of the image, in pixels.
    """
    if isinstance(segmentation, bytes):
        counts = segmentation
    else:
        from hotcoco import mask

        parts = mask.frPyObjects([p.tolist() for p in segmentation], height, width)
        counts = mask.merge(parts)["counts"]
    return {"size": [height, width], "counts": counts.decode("ascii")}


def rectangle(box: tuple[float, float, float, float]) -> Segmentation:
    """Returns a mask that fills a box of left, top, width and height."""
    left, top, width, height = box
    right, bottom = left + width, top + height
    return (np.array([left, top, right, top, right, bottom, left, bottom]),)


def draw(
    segmentation: Segmentation,
    shape: tuple[int, int],
    rows: np.ndarray,
    columns: np.ndarray,
    out: np.ndarray,
) -> None:
    """Draws chosen rows and columns of a mask.

    Only what lies within the object's box is looked up.

    Args:
        segmentation: From `parse`.
        shape: Height and width of the image, in pixels.
        rows: Of the image, in any order, int `(h,)`.
        columns: Likewise, int `(w,)`.
        out: Zeros, uint8 `(h, w)`, which become 1 where the object is.
    """
    from hotcoco import mask

    runs = to_run_lengths(segmentation, *shape)
    left, top, width, height = mask.toBbox(runs)
    inside = np.ix_(
        np.flatnonzero((rows >= top) & (rows < top + height)),
        np.flatnonzero((columns >= left) & (columns < left + width)),
    )
    out[inside] = mask.decode(runs)[rows[inside[0]], columns[inside[1]]]
