"""How an exported detector's proofs are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_convnext.detection import Objects, draw_objects, paste_masks
from keras_convnext.segmentation import palette_for

from ..verify.object_agreement import share_kept
from ..verify.object_parity import ObjectResult, compare
from ..verify.object_reference import ObjectReference
from .manifest import Artifact
from .presentation import (
    MOST_SHOWN,
    Presentation,
    Row,
    percent,
    rows_by_share,
    thumbnail,
)

_THUMBNAIL_PX = 240
_MOST_NAMED = 4
_KEPT = "objects kept"


def _result(artifact: Artifact) -> ObjectResult:
    assert isinstance(artifact.shown, ObjectResult)
    return artifact.shown


def _columns(artifact: Artifact, reference: ObjectReference) -> dict[str, str]:
    result = _result(artifact)
    masks = result.mask_difference
    return {
        "images": "whole" if result.are_whole else "in squares",
        _KEPT: f"{result.kept:.2%}",
        "limit": f"{artifact.precision.least_objects_kept:.0%}",
        "box, px": f"{result.box_px:.3f}",
        "score": f"{result.score_difference:.1g}",
        "mask": "none" if masks is None else f"{masks:.1g}",
        "AP": percent(result.ap, "unknown"),
        "Keras' AP": percent(result.keras_ap, "unknown"),
    }


def _summary(artifact: Artifact, reference: ObjectReference) -> dict[str, str]:
    result = _result(artifact)
    return {
        _KEPT: f"{result.kept:.2%}",
        "box, px": f"{result.box_px:.3f}",
        "score": f"{result.score_difference:.1g}",
        "AP": percent(result.ap, "unknown"),
        "Keras' AP": percent(result.keras_ap, "unknown"),
    }


def _figures(artifact: Artifact, reference: ObjectReference) -> dict[str, Any]:
    result = _result(artifact)
    return {
        "agreement": result.kept,
        "agreement_of": _KEPT,
        "agreement_limit": artifact.precision.least_objects_kept,
        "box_px": result.box_px,
        "score_difference": result.score_difference,
        "mask_difference": result.mask_difference,
        "ap": result.ap,
        "keras_ap": result.keras_ap,
        "objects_of": "whole images" if result.are_whole else "images in squares",
    }


def _remark(reference: ObjectReference) -> str:
    ap = reference.ap(reference.objects)
    said = "" if ap is None else f", with an AP of {ap:.2%}"
    return f" Keras finds {sum(map(len, reference.objects))} objects in them{said}."


def _rows(reference: ObjectReference, artifacts: Sequence[Artifact]) -> list[Row]:
    """Returns Keras' objects over their images, and how far files agree."""
    palette = palette_for(reference.labels)

    def share(artifact: Artifact, index: int) -> float:
        result, limits = _result(artifact), artifact.precision
        expected = reference.objects if result.are_whole else reference.tensor_objects
        pair = compare(reference, [expected[index]], [result.objects[index]])
        return share_kept(pair, limits.most_box_px, limits.most_score_difference)

    def show(index: int) -> tuple[bytes, str]:
        found = reference.objects[index]
        drawn = _draw(reference.images[index], found, palette)
        return thumbnail(drawn, _THUMBNAIL_PX), _best_objects(found, reference.labels)

    words = "{:.0%} of the objects kept"
    return rows_by_share(reference.names, artifacts, share, show, words)


def _draw(image: np.ndarray, found: Objects, palette: np.ndarray) -> np.ndarray:
    masks = None
    if found.masks is not None:
        masks = paste_masks(found.masks, found.boxes, *image.shape[:2])
    return draw_objects(image, found.boxes, found.classes, palette, masks)


def _best_objects(found: Objects, labels: Sequence[str]) -> str:
    """Returns the objects with the highest scores, in words."""
    best = zip(found.classes[:_MOST_NAMED], found.scores[:_MOST_NAMED], strict=True)
    named = [f"{labels[number]} {score:.1%}" for number, score in best]
    more = len(found) - len(named)
    return ", ".join([*named, *([f"{more} more"] if more > 0 else [])]) or "nothing"


OBJECTS = Presentation(
    columns=_columns,
    summary=_summary,
    figures=_figures,
    remark=_remark,
    rows=_rows,
    words="Keras' objects over their images, those with the highest scores, and below "
    "it every file that finds others; first the images on which a file differs most. "
    f"At most {MOST_SHOWN} are shown.",
)
