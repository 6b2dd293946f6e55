"""How an exported classifier's proofs are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..verify.agreement import WORDS, decide, decide_on_class, say
from ..verify.parity import ParityResult
from ..verify.reference import Reference
from .manifest import Artifact
from .presentation import MOST_SHOWN, Presentation, Row, percent, thumbnail

_THUMBNAIL_PX = 112


def _result(artifact: Artifact) -> ParityResult:
    assert isinstance(artifact.shown, ParityResult)
    return artifact.shown


def _columns(artifact: Artifact, reference: Reference) -> dict[str, str]:
    result, limit = _result(artifact), artifact.precision.most_difference
    return {
        "max difference": f"{result.max_abs_diff:.2g}",
        "limit": "none" if limit is None else f"{limit:g}",
        "cosine": f"{result.cosine:.6f}",
        WORDS[reference.kind]: f"{result.agreement:.2%}",
        "same top five": percent(result.top5_agreement, "none"),
        "accuracy": percent(result.accuracy, "unknown"),
    }


def _summary(artifact: Artifact, reference: Reference) -> dict[str, str]:
    result = _result(artifact)
    return {
        "max diff": f"{result.max_abs_diff:.1e}",
        WORDS[reference.kind]: f"{result.agreement:.1%}",
    }


def _figures(artifact: Artifact, reference: Reference) -> dict[str, Any]:
    result = _result(artifact)
    return {
        "max_abs_diff": result.max_abs_diff,
        "max_abs_diff_limit": artifact.precision.most_difference,
        "cosine": result.cosine,
        "agreement": result.agreement,
        "agreement_of": WORDS[reference.kind],
        "top1_agreement": result.agreement if reference.kind == "softmax" else None,
        "top5_agreement": result.top5_agreement,
        "top1": result.accuracy,
        "keras_top1": reference.accuracy(reference.probabilities),
    }


def _keras_accuracy(reference: Reference) -> str:
    accuracy = reference.accuracy(reference.probabilities)
    return (
        "" if accuracy is None else f" Keras' top-1 accuracy on them is {accuracy:.2%}."
    )


def _rows(reference: Reference, artifacts: Sequence[Artifact]) -> list[Row]:
    """Returns of each image a PNG, its name with Keras' answer, and other answers.

    Images on which a file differs from Keras come first, then those on which Keras
    itself is wrong.
    """
    kind, labels = reference.kind, reference.labels
    decided = decide_on_class(kind, reference.probabilities)
    rows, wrong = [], []
    for index, expected in enumerate(reference.probabilities):
        others = []
        for artifact in artifacts:
            found = _result(artifact).probabilities[index]
            if kind != "features" and np.any(
                decide(kind, found[None]) != decide(kind, expected[None])
            ):
                others.append(f"{artifact.place}: {say(kind, found, labels)}")
        said = say(kind, expected, labels)
        if (
            reference.truth is not None
            and decided is not None
            and decided[index] != reference.truth[index]
        ):
            said += f", and it is {labels[reference.truth[index]]}"
            wrong.append(index)
        rows.append(((reference.names[index], said), others))
    order = sorted(
        range(len(rows)), key=lambda index: (not rows[index][-1], index not in wrong)
    )
    return [
        (thumbnail(reference.tensors[index], _THUMBNAIL_PX), *rows[index])
        for index in order[:MOST_SHOWN]
    ]


CLASSES = Presentation(
    columns=_columns,
    summary=_summary,
    figures=_figures,
    remark=_keras_accuracy,
    rows=_rows,
    words="What Keras says, and below it every file that says something else; first "
    "the images on which a file differs, then those on which Keras is wrong. At most "
    f"{MOST_SHOWN} are shown.",
)
