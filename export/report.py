"""`report.html`: the figures of an export, and its pictures with what was said of them.

One file with everything inside, so that it can be sent or archived.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image

from .manifest import Artefact
from .proof import Reference
from .source import Source

NAME = "report.html"
_MOST_SHOWN = 24
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
    source: Source, reference: Reference, artefacts: Sequence[Artefact], origin: str
) -> str:
    """Returns the page.

    Args:
        source: What was exported.
        reference: Keras' answers.
        artefacts: The files and their proofs.
        origin: Where the pictures are from.
    """
    figures = "".join(_figure(*row) for row in _rows(reference, artefacts))
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
<p>{source.model.count_params():,} parameters, {len(source.labels)} classes,
pictures of {preprocessing.size_px} x {preprocessing.size_px} pixels
({preprocessing.crop_mode}, crop {preprocessing.crop_fraction:g},
{preprocessing.interpolation}). SHA-256 of the weights' file: {source.sha256}.
Licence: {escape(source.licence or "not stated")}.</p>
<h2>Each file against Keras</h2>
<p>Every file was opened in a process of its own and asked about
{len(reference.names)} pictures ({escape(origin)}).</p>
{_table(artefacts)}
<h2>Pictures</h2>
<p>What Keras says, and below it every file that says something else.</p>
<div class="sheet">{figures}</div>
</body>
</html>
"""


def _table(artefacts: Sequence[Artefact]) -> str:
    heads = (
        "file",
        "MB",
        "max difference",
        "limit",
        "cosine",
        "same first class",
        "same first five",
        "ms, median",
        "ms, 95 %",
        "load ms",
        "peak MB",
    )
    rows = []
    for artefact in artefacts:
        proof, limit = artefact.shown, artefact.precision.most_difference
        cells = (
            escape(artefact.place),
            f"{artefact.bytes / 1e6:.2f}",
            f"{proof.max_abs_diff:.2g}",
            "none" if limit is None else f"{limit:g}",
            f"{proof.cosine:.6f}",
            f"{proof.top1_agreement:.1%}",
            f"{proof.top5_agreement:.1%}",
            f"{proof.latency_ms['p50']:.2f}",
            f"{proof.latency_ms['p95']:.2f}",
            f"{proof.load_ms:.0f}",
            "unknown"
            if proof.peak_memory_mb is None
            else f"{proof.peak_memory_mb:.0f}",
        )
        rows.append("".join(f"<td>{cell}</td>" for cell in cells))
    head = "".join(f"<th>{text}</th>" for text in heads)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def _said(probabilities: np.ndarray, labels: Sequence[str]) -> str:
    best = int(np.argmax(probabilities))
    return f"{labels[best]} {probabilities[best]:.1%}"


def _rows(
    reference: Reference, artefacts: Sequence[Artefact]
) -> list[tuple[str, np.ndarray, str, list[str]]]:
    """Returns name, pixels, Keras' answer and other answers; differences first."""
    rows = []
    for index, expected in enumerate(reference.probabilities):
        others = []
        for artefact in artefacts:
            found = artefact.shown.probabilities[index]
            if np.argmax(found) != np.argmax(expected):
                others.append(f"{artefact.place}: {_said(found, reference.labels)}")
        said = _said(expected, reference.labels)
        rows.append((reference.names[index], reference.tensors[index], said, others))
    rows.sort(key=lambda row: not row[-1])
    return rows[:_MOST_SHOWN]


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
