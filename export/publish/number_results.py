"""How the proofs of an exported model that answers with a number are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..verify.agreement import WORDS
from ..verify.parity import ParityResult
from ..verify.reference import Reference
from .manifest import Artifact
from .presentation import MOST_SHOWN, Presentation, Row, thumbnail

_THUMBNAIL_PX = 112


def _result(artifact: Artifact) -> ParityResult:
    assert isinstance(artifact.shown, ParityResult)
    return artifact.shown


def _most(artifact: Artifact, reference: Reference) -> float:
    """Returns the largest difference, in the numbers' own unit."""
    return _result(artifact).max_abs_diff * float(np.ptp(reference.probabilities))


def _columns(artifact: Artifact, reference: Reference) -> dict[str, str]:
    result, limit = _result(artifact), artifact.precision.most_difference
    return {
        "max difference": f"{_most(artifact, reference):.3g}",
        "of the range": f"{result.max_abs_diff:.2g}",
        "limit of that": "none" if limit is None else f"{limit:g}",
        WORDS["number"]: f"{result.agreement:.6f}",
    }


def _summary(artifact: Artifact, reference: Reference) -> dict[str, str]:
    return {
        "max diff": f"{_most(artifact, reference):.1e}",
        WORDS["number"]: f"{_result(artifact).agreement:.4f}",
    }


def _figures(artifact: Artifact, reference: Reference) -> dict[str, Any]:
    result = _result(artifact)
    return {
        "max_abs_diff": _most(artifact, reference),
        "max_diff_of_range": result.max_abs_diff,
        "max_diff_of_range_limit": artifact.precision.most_difference,
        "agreement": result.agreement,
        "agreement_of": WORDS["number"],
    }


def _remark(reference: Reference) -> str:
    numbers = reference.probabilities
    return f" Keras' numbers for them are {numbers.min():.6g} to {numbers.max():.6g}."


def _rows(reference: Reference, artifacts: Sequence[Artifact]) -> list[Row]:
    """Returns of each image a PNG, its name with the number, and what files answer.

    Images on which files differ the most come first.
    """
    numbers = reference.probabilities[:, 0]
    found = [_result(artifact).probabilities[:, 0] for artifact in artifacts]
    most = np.max([np.abs(each - numbers) for each in found], axis=0)
    order = np.argsort(-most, kind="stable")[:MOST_SHOWN]
    return [
        (
            thumbnail(reference.tensors[index], _THUMBNAIL_PX),
            (reference.names[index], f"{numbers[index]:.6g}"),
            [
                f"{artifact.place}: {each[index]:.6g}"
                for artifact, each in zip(artifacts, found, strict=True)
                if artifact.precision.most_difference is None
                or artifact.precision.name != "float32"
            ],
        )
        for index in order
    ]


NUMBERS = Presentation(
    columns=_columns,
    summary=_summary,
    figures=_figures,
    remark=_remark,
    rows=_rows,
    words="Keras' number, and below it those of files with rounded weights; first the "
    f"images on which files differ the most. At most {MOST_SHOWN} are shown.",
)
