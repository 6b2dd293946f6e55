"""`report.html`: the figures of an export, and its images with what was said of them.

One file with everything inside, so that it can be sent or archived.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image

from ..model.loaded_model import Source
from ..verify.agreement import OUTPUT_WORDS, WORDS, decide, decide_on_class, say
from ..verify.reference import Reference
from .manifest import Artifact

NAME = "report.html"
_MOST_SHOWN = 24
_MOST_LAYERS = 12
_THUMBNAIL_PX = 112

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem;
       padding: 0 1rem; color: #222; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; }
th, td { padding: .3rem .9rem .3rem 0; text-align: right;
         border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
.sheet { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, 11rem); }
figure { margin: 0; overflow-wrap: anywhere; font-size: .85rem; }
figure img { width: 7rem; height: 7rem; object-fit: contain; background: #eee; }
.other { color: #b00020; font-weight: 600; }
"""


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
    figures = "".join(_figure(*row) for row in _rows(reference, artifacts))
    preprocessing = source.preprocessing
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Export of {escape(source.name)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Export of {escape(source.name)}</h1>
<p>{source.model.count_params():,} parameters, {escape(_outputs(source))},
images of {preprocessing.size_px} x {preprocessing.size_px} pixels
({preprocessing.crop_mode}, crop {preprocessing.crop_fraction:g},
{preprocessing.interpolation}). SHA-256 of the weights' file: {source.sha256}.
License: {escape(source.license or "not stated")}.</p>
<h2>Each file against Keras</h2>
<p>Every file was opened in a process of its own and asked about
{len(reference.names)} images ({escape(origin)}).{_keras_accuracy(reference)}</p>
{_table(artifacts, reference.kind)}
{"".join(_layers(artifact) for artifact in artifacts if artifact.layers)}
<h2>Images</h2>
<p>What Keras says, and below it every file that says something else; first the
images on which a file differs, then those on which Keras is wrong. At most
{_MOST_SHOWN} are shown.</p>
<div class="sheet">{figures}</div>
</body>
</html>
"""


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
            escape(artifact.place),
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
        rows.append("".join(f"<td>{cell}</td>" for cell in cells))
    head = "".join(f"<th>{text}</th>" for text in heads)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


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
    rows = "".join(
        f"<tr><td>{escape(layer.tensor)}</td><td>{layer.operator}</td>"
        f"<td>{layer.type}</td><td>{layer.error:.2%}</td>"
        f"<td>{layer.least:.3g}</td><td>{layer.most:.3g}</td>"
        f"<td>{'' if layer.step is None else f'{layer.step:.3g}'}</td></tr>"
        for layer in worst
    )
    return (
        f"<h2>Quantization error of {escape(artifact.place)}</h2>"
        f"<p>The {len(worst)} of {len(artifact.layers)} tensors that are furthest from "
        "float32's: root mean square of the difference as a share of the values', "
        "and the range of the values in float32. All are in export.json.</p>"
        "<table><tr><th>tensor</th><th>operator</th><th>type</th><th>error</th>"
        "<th>smallest</th><th>largest</th><th>one step</th></tr>"
        f"{rows}</table>"
    )


def _rows(
    reference: Reference, artifacts: Sequence[Artifact]
) -> list[tuple[str, np.ndarray, str, list[str]]]:
    """Returns name, pixels, Keras' answer and other answers.

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
        rows.append((reference.names[index], reference.tensors[index], said, others))
    order = sorted(
        range(len(rows)), key=lambda index: (not rows[index][-1], index not in wrong)
    )
    return [rows[index] for index in order[:_MOST_SHOWN]]


def _figure(name: str, pixels: np.ndarray, said: str, others: list[str]) -> str:
    image = Image.fromarray(pixels.astype(np.uint8))
    image.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    file = io.BytesIO()
    image.save(file, format="PNG")
    data = base64.b64encode(file.getvalue()).decode()
    lines = "".join(f'<br><span class="other">{escape(text)}</span>' for text in others)
    return (
        f'<figure><img alt="" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(name)}<br>{escape(said)}{lines}</figcaption></figure>"
    )
