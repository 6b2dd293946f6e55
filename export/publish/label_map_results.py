"""How an exported segmentation model's proofs are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_convnext.segmentation import overlay, palette_for

from ..verify.label_map_parity import LabelMapResult, pixel_agreement
from ..verify.label_map_reference import LabelMapReference
from .manifest import Artifact
from .presentation import (
    MOST_SHOWN,
    Presentation,
    Row,
    percent,
    rows_by_share,
    thumbnail,
)

_THUMBNAIL_PX = 160
_AGREEMENT = "pixel agreement"


def _result(artifact: Artifact) -> LabelMapResult:
    assert isinstance(artifact.shown, LabelMapResult)
    return artifact.shown


def _columns(artifact: Artifact, reference: LabelMapReference) -> dict[str, str]:
    result = _result(artifact)
    return {
        "label maps": "whole images" if result.are_whole else "middles",
        _AGREEMENT: f"{result.agreement:.2%}",
        "limit": f"{artifact.precision.least_pixel_agreement:.1%}",
        "mIoU": percent(result.miou, "unknown"),
        "Keras' mIoU": percent(result.keras_miou, "unknown"),
    }


def _summary(artifact: Artifact, reference: LabelMapReference) -> dict[str, str]:
    result = _result(artifact)
    return {
        _AGREEMENT: f"{result.agreement:.2%}",
        "mIoU": percent(result.miou, "unknown"),
        "Keras' mIoU": percent(result.keras_miou, "unknown"),
    }


def _figures(artifact: Artifact, reference: LabelMapReference) -> dict[str, Any]:
    result = _result(artifact)
    return {
        "agreement": result.agreement,
        "agreement_of": _AGREEMENT,
        "agreement_limit": artifact.precision.least_pixel_agreement,
        "miou": result.miou,
        "keras_miou": result.keras_miou,
        "label_maps_of": "whole images" if result.are_whole else "middles of images",
    }


def _remark(reference: LabelMapReference) -> str:
    miou = reference.miou(reference.masks, reference.maps)
    return "" if miou is None else f" Keras' mIoU on them is {miou:.2%}."


def _rows(reference: LabelMapReference, artifacts: Sequence[Artifact]) -> list[Row]:
    """Returns Keras' label maps over their images, and how far files agree."""
    palette = palette_for(reference.labels)

    def share(artifact: Artifact, index: int) -> float:
        result = _result(artifact)
        expected = reference.maps if result.are_whole else reference.tensor_maps
        return pixel_agreement([expected[index]], [result.maps[index]])

    def show(index: int) -> tuple[bytes, str]:
        label_map = reference.maps[index]
        colored = overlay(reference.images[index], label_map, palette)
        words = _largest_classes(label_map, reference.labels)
        return thumbnail(colored, _THUMBNAIL_PX), words

    words = "{:.2%} of the pixels alike"
    return rows_by_share(reference.names, artifacts, share, show, words)


def _largest_classes(label_map: np.ndarray, labels: Sequence[str]) -> str:
    """Returns the three classes with the most pixels, in words."""
    shares = np.bincount(label_map.ravel(), minlength=len(labels)) / label_map.size
    order = np.argsort(-shares, kind="stable")[:3]
    return ", ".join(f"{labels[n]} {shares[n]:.1%}" for n in order if shares[n])


LABEL_MAPS = Presentation(
    columns=_columns,
    summary=_summary,
    figures=_figures,
    remark=_remark,
    rows=_rows,
    words="Keras' label maps over their images, the classes with the most pixels, and "
    "below it every file that gives other classes to some; first the images on which a "
    f"file differs most. At most {MOST_SHOWN} are shown.",
)
