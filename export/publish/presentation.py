"""How the proofs of one kind of output are shown: page, manifest, console."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from .manifest import Artifact

# A PNG, what is said below it, and more lines.
Row = tuple[bytes, tuple[str, str], list[str]]
# How many images a page shows.
MOST_SHOWN = 24


@dataclass(frozen=True)
class Presentation:
    """What differs from kind to kind.

    Attributes:
        columns: From an artifact and the reference to the cells of its row on the page,
            by their heads.
        summary: The same for the console, fewer.
        figures: The same for export.json.
        remark: From the reference to a sentence on Keras' own figures, or nothing.
        rows: From the reference and the artifacts to the images on the page.
        words: What the images on the page are.
    """

    columns: Callable[[Artifact, Any], Mapping[str, str]]
    summary: Callable[[Artifact, Any], Mapping[str, str]]
    figures: Callable[[Artifact, Any], Mapping[str, Any]]
    remark: Callable[[Any], str]
    rows: Callable[[Any, Sequence[Artifact]], list[Row]]
    words: str


def thumbnail(pixels: np.ndarray, size_px: int) -> bytes:
    """Returns a small PNG.

    Args:
        pixels: `(height, width, 3)` in 0..255.
        size_px: Of its longer side, at most.
    """
    image = Image.fromarray(pixels.astype(np.uint8))
    image.thumbnail((size_px, size_px))
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def percent(share: float | None, otherwise: str) -> str:
    """Returns a share as a page shows it.

    Args:
        share: In 0..1; None where it is not known.
        otherwise: What is shown then.
    """
    return otherwise if share is None else f"{share:.2%}"


def rows_by_share(
    names: Sequence[str],
    artifacts: Sequence[Artifact],
    share: Callable[[Artifact, int], float],
    show: Callable[[int], tuple[bytes, str]],
    words: str,
) -> list[Row]:
    """Returns rows of images, first those on which a file differs most from Keras.

    Args:
        names: Of the images.
        artifacts: What was made.
        share: From a file and an image's number to how much of it both answer alike.
        show: From an image's number to Keras' answer as a PNG and in words.
        words: Of a share, a format.
    """
    rows = []
    for index, name in enumerate(names):
        shares = {artifact.place: share(artifact, index) for artifact in artifacts}
        said = [f"{at}: {words.format(of)}" for at, of in shares.items() if of < 1]
        drawn, answer = show(index)
        rows.append((min(shares.values()), (drawn, (name, answer), said)))
    rows.sort(key=lambda row: row[0])
    return [row for _, row in rows[:MOST_SHOWN]]


def table(
    artifacts: Sequence[Artifact], reference: Any, presentation: Presentation
) -> str:
    """Returns a line for each file: size, what matters of its kind, and time.

    Args:
        artifacts: What was made.
        reference: Keras' answers.
        presentation: Of the kind.
    """
    cells = [
        {
            "file": artifact.place,
            "MB": f"{artifact.bytes / 1e6:.1f}",
            **presentation.summary(artifact, reference),
            "ms": f"{artifact.shown.latency_ms['p50']:.1f}",
        }
        for artifact in artifacts
    ]
    rows = [tuple(cells[0]), *(tuple(each.values()) for each in cells)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *rest in rows:
        line = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *line]))
    return "\n".join(lines)
