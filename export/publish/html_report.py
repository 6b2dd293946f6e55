"""`report.html`: the figures of an export, and its images with what was said of them.

One file with everything inside, so that it can be sent or archived.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_convnext import _page
from keras_convnext.inference.dense_outputs import count_labels

from ..convert.description import FLIP_WORDS, OUTPUT_WORDS
from ..model.loaded_model import Source
from .manifest import Artifact
from .presentation import Presentation

NAME = "report.html"
_MOST_LAYERS = 12


def render(
    source: Source,
    reference: Any,
    artifacts: Sequence[Artifact],
    origin: str,
    presentation: Presentation,
) -> str:
    """Returns the page.

    Args:
        source: What was exported.
        reference: Keras' answers.
        artifacts: The files and their proofs.
        origin: Where the images are from.
        presentation: Of the kind of output.
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
            _table(artifacts, reference, presentation),
            "Every file was opened in a process of its own and asked about "
            f"{len(reference.names)} images ({origin})."
            f"{presentation.remark(reference)}",
        ),
        *(_layers(artifact) for artifact in artifacts if artifact.layers),
        _page.section(
            "Images",
            _page.sheet(presentation.rows(reference, artifacts)),
            presentation.words,
        ),
    ]
    return _page.page(f"Export of {source.name}", summary, "".join(sections))


def _outputs(source: Source) -> str:
    """Returns the meaning of the model's outputs, in words."""
    number, kind = count_labels(source.model), source.meaning.kind
    one, many = (
        ("class", "classes")
        if kind in ("label_map", "objects")
        else ("output", "outputs")
    )
    what = OUTPUT_WORDS[kind].lower()
    said = f"{number} {one if number == 1 else many}: {what} ({source.meaning.origin})"
    return said + FLIP_WORDS * source.flip


def _table(
    artifacts: Sequence[Artifact], reference: Any, presentation: Presentation
) -> str:
    rows = [
        {
            "file": artifact.place,
            "MB": f"{artifact.bytes / 1e6:.2f}",
            **presentation.columns(artifact, reference),
            "ms, median": f"{artifact.shown.latency_ms['p50']:.2f}",
            "ms, 95 %": f"{artifact.shown.latency_ms['p95']:.2f}",
            "load ms": f"{artifact.shown.load_ms:.0f}",
            "peak MB": "unknown"
            if artifact.shown.peak_memory_mb is None
            else f"{artifact.shown.peak_memory_mb:.0f}",
        }
        for artifact in artifacts
    ]
    cells = [tuple(row.values()) for row in rows]
    return _page.table(tuple(rows[0]), cells, numbers=len(rows[0]) - 1)


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
