"""`report.html`: the figures of an export, and its images with what was said of them.

One file with everything inside, so that it can be sent or archived.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from keras_convnext import _page

from ..model.loaded_model import Source
from ..verify.agreement import OUTPUT_WORDS, WORDS, decide, decide_on_class, say
from ..verify.reference import Reference
from .manifest import Artifact

NAME = "report.html"
_MOST_SHOWN = 24
_MOST_LAYERS = 12
_THUMBNAIL_PX = 112


def render(
    source: Source, reference: Reference, artifacts: Sequence[Artifact], origin: str
) -> str:
    """Returns the page.

    Args:
        source: What was exported.
        reference: Keras' answers.
        artifacts: The files and their proofs.
        origin: Where the images are from.
    """
    preprocessing = source.preprocessing
    summary = (
        f"{source.model.count_params():,} parameters, {_outputs(source)}, images of "
        f"{preprocessing.size_px} x {preprocessing.size_px} pixels "
        f"({preprocessing.crop_mode}, crop {preprocessing.crop_fraction:g}, "
        f"{preprocessing.interpolation}). SHA-256 of the weights' file: "
        f"{source.sha256}. License: {source.license or 'not stated'}."
    )
    sections = [
        _page.section(
            "Each file against Keras",
            _table(artifacts, reference.kind),
            "Every file was opened in a process of its own and asked about "
            f"{len(reference.names)} images ({origin}).{_keras_accuracy(reference)}",
        ),
        *(_layers(artifact) for artifact in artifacts if artifact.layers),
        _page.section(
            "Images",
            _page.sheet(_rows(reference, artifacts)),
            "What Keras says, and below it every file that says something else; first "
            "the images on which a file differs, then those on which Keras is wrong. "
            f"At most {_MOST_SHOWN} are shown.",
        ),
    ]
    return _page.page(f"Export of {source.name}", summary, "".join(sections))


def _outputs(source: Source) -> str:
    """Returns the meaning of the model's outputs, in words."""
    outputs = source.model.outputs[0].shape[-1]
    what = OUTPUT_WORDS[source.meaning.kind].lower()
    return f"{outputs} outputs: {what} ({source.meaning.origin})"


def _table(artifacts: Sequence[Artifact], kind: str) -> str:
    heads = (
        "file",
        "MB",
        "max difference",
        "limit",
        "cosine",
        WORDS[kind],
        "same top five",
        "accuracy",
        "ms, median",
        "ms, 95 %",
        "load ms",
        "peak MB",
    )
    rows = []
    for artifact in artifacts:
        result, limit = artifact.shown, artifact.precision.most_difference
        cells = (
            artifact.place,
            f"{artifact.bytes / 1e6:.2f}",
            f"{result.max_abs_diff:.2g}",
            "none" if limit is None else f"{limit:g}",
            f"{result.cosine:.6f}",
            f"{result.agreement:.2%}",
            _percent(result.top5_agreement, "none"),
            _percent(result.accuracy, "unknown"),
            f"{result.latency_ms['p50']:.2f}",
            f"{result.latency_ms['p95']:.2f}",
            f"{result.load_ms:.0f}",
            "unknown"
            if result.peak_memory_mb is None
            else f"{result.peak_memory_mb:.0f}",
        )
        rows.append(cells)
    return _page.table(heads, rows, numbers=len(heads) - 1)


def _percent(share: float | None, otherwise: str) -> str:
    return otherwise if share is None else f"{share:.2%}"


def _keras_accuracy(reference: Reference) -> str:
    accuracy = reference.accuracy(reference.probabilities)
    return (
        "" if accuracy is None else f" Keras' top-1 accuracy on them is {accuracy:.2%}."
    )


def _layers(artifact: Artifact) -> str:
    """Returns the tensors of an integer file that are furthest from float32's."""
    worst = sorted(artifact.layers, key=lambda layer: -layer.error)[:_MOST_LAYERS]
    rows = [
        (
            layer.tensor,
            layer.operator,
            layer.type,
            f"{layer.error:.2%}",
            f"{layer.least:.3g}",
            f"{layer.most:.3g}",
            "" if layer.step is None else f"{layer.step:.3g}",
        )
        for layer in worst
    ]
    heads = ("tensor", "operator", "type", "error", "smallest", "largest", "one step")
    return _page.section(
        f"Quantization error of {artifact.place}",
        _page.table(heads, rows, numbers=4),
        f"The {len(worst)} of {len(artifact.layers)} tensors that are furthest from "
        "float32's: root mean square of the difference as a share of the values', and "
        "the range of the values in float32. All are in export.json.",
    )


def _rows(
    reference: Reference, artifacts: Sequence[Artifact]
) -> list[tuple[bytes, tuple[str, str], list[str]]]:
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
            found = artifact.shown.probabilities[index]
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
        (_png(reference.tensors[index]), *rows[index]) for index in order[:_MOST_SHOWN]
    ]


def _png(pixels: np.ndarray) -> bytes:
    """Returns a thumbnail."""
    image = Image.fromarray(pixels.astype(np.uint8))
    image.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()
