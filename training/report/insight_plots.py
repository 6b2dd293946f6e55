"""Images of how a trained model sees: how sure, how near, and where it looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image

from ..evaluation.metrics import Predictions
from ..inference import saliency
from .plots import INK, TRAIN, VALIDATION, WRONG, caption, dress, png, shorten

_BINS = 10
_THUMBNAIL_PX = 44
_FRAME_PX = 2
# What a class' name takes up of what the points span: the longest is 18 letters.
_NAME_SHARE = (0.3, 0.085)
_MOST_COLORED_CLASSES = 20


@dataclass(frozen=True)
class Explained:
    """An image and where the model looks in it.

    Attributes:
        image: `(height, width, 3)` in 0..255.
        cam: Grad-CAM's map, `(map_height, map_width)`.
        slopes: The input's gradient, `(height, width, 3)`.
        name: Of the class that is explained.
        share: The probability of that class, 0 to 1; None of a number, which stands
            in the place of a name.
        truth: The image's own class, where it is known.
    """

    image: np.ndarray
    cam: np.ndarray
    slopes: np.ndarray
    name: str
    share: float | None
    truth: str | None = None


def explained(images: Sequence[Explained]) -> bytes:
    """Draws images, each beside its Grad-CAM and its input's gradient.

    Returns:
        A PNG; two images a row where there is more than one.
    """
    across = min(2, len(images))
    rows = -(-len(images) // across)
    figure = Figure(figsize=(5.6 * across, 2.3 * rows))
    figure.subplots_adjust(0.01, 0.02, 0.99, 1 - 0.4 / (2.3 * rows), 0.04, 0.26)
    grid = figure.subplots(rows, 3 * across, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    cells = grid.reshape(rows * across, 3)
    for (plain, cam, slopes), image in zip(cells, images, strict=False):
        truth = image.name if image.truth is None else image.truth
        wrong = truth != image.name
        title = image.name
        if image.share is not None:
            title = caption(image.name, image.share, truth)
        plain.imshow(np.clip(image.image, 0, 255).astype(np.uint8))
        cam.imshow(saliency.overlay(image.image, image.cam))
        slopes.imshow(saliency.strength(image.slopes))
        for axes, text in ((plain, title), (cam, "Grad-CAM"), (slopes, "gradient")):
            axes.set_title(
                text,
                loc="left",
                fontsize=9,
                color=WRONG if wrong and axes is plain else INK,
            )
    return png(figure)


def calibration(predictions: Predictions) -> bytes:
    """Draws how often the model is right for how sure it is.

    Returns:
        A PNG: the share of right answers in each tenth of confidence above, and how
        many images each has below.
    """
    right = predictions.top[:, 0] == predictions.labels
    chosen = np.minimum((predictions.confidence * _BINS).astype(int), _BINS - 1)
    counts = np.bincount(chosen, minlength=_BINS)
    correct = np.bincount(chosen, weights=right, minlength=_BINS)
    sure = np.bincount(chosen, weights=predictions.confidence, minlength=_BINS)
    some = counts > 0
    middles = (np.arange(_BINS) + 0.5) / _BINS

    figure = Figure(figsize=(8.2, 5.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot(
        (0, 1), (0, 1), color=TRAIN, lw=1.5, ls="--", label="perfect calibration"
    )
    above.bar(
        middles[some],
        correct[some] / counts[some],
        width=0.9 / _BINS,
        color=VALIDATION,
        label="accuracy",
    )
    above.plot(
        middles[some],
        sure[some] / counts[some],
        "o",
        color=WRONG,
        ms=5,
        label="mean confidence",
    )
    above.set_ylim(0, 1.03)
    # Beside the bars, which may be anywhere.
    above.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    error = predictions.calibration_error()
    dress(above, f"Calibration error {error:.1%}", "")
    below.bar(middles, counts, width=0.9 / _BINS, color=TRAIN)
    dress(below, "Images", "confidence")
    for axes in (above, below):
        axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    above.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    return png(figure)


def embedding(
    features: np.ndarray,
    images: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
) -> bytes:
    """Draws images where their features lie, on the two main axes of all of them.

    Args:
        features: `(count, features)`, what the classifier weighs.
        images: uint8 `(count, height, width, 3)`.
        labels: Class numbers `(count,)`.
        classes: Their names.

    Returns:
        A PNG: points in their places at the left; at the right the images, moved
        apart into rows and columns that keep the places' order.
    """
    places, share = main_axes(features)
    palette = colormaps["tab10" if len(classes) <= 10 else "tab20"]
    colors = palette(labels % palette.N)[:, :3]
    figure = Figure(figsize=(11, 5.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.scatter(places[:, 0], places[:, 1], c=colors, s=16, linewidths=0)
    left.margins(0.12)
    if len(classes) <= _MOST_COLORED_CLASSES:
        present = np.unique(labels)
        middles = [places[labels == number].mean(axis=0) for number in present]
        spots = apart(np.array(middles), *(np.ptp(places, axis=0) * _NAME_SHARE))
        for number, spot in zip(present, spots, strict=True):
            left.text(
                *spot,
                shorten(classes[number]),
                color=INK,
                ha="center",
                va="center",
                fontsize=9,
                bbox={"fc": "white", "ec": palette(number % palette.N), "alpha": 0.85},
            )
    dress(left, f"{len(labels)} validation images by their features", "")
    left.set_xlabel(f"first two components, {share:.0%} of the variance", color=INK)
    left.set_xticks([])
    left.set_yticks([])
    right.imshow(_sheet(places, images, colors))
    right.set_axis_off()
    return png(figure)


def main_axes(features: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns the principal components of rows: two of each, and what they hold.

    Args:
        features: `(count, features)`, at least two of each.

    Returns:
        Places `(count, 2)`, and the share of the variance that they keep.
    """
    centered = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    rows, lengths, _ = np.linalg.svd(centered, full_matrices=False)
    variance = lengths**2
    places = rows[:, :2] * lengths[:2]
    return places, float(variance[:2].sum() / max(variance.sum(), 1e-30))


def apart(places: np.ndarray, width: float, height: float) -> np.ndarray:
    """Returns the places of names, some moved up so that none covers another.

    Args:
        places: Middles of the names, `(names, 2)`.
        width: What a name takes up along the first axis.
        height: What it takes up along the second.
    """
    moved = places.astype(np.float64)
    done: list[int] = []
    for number in np.argsort(moved[:, 1], kind="stable"):
        for other in sorted(done, key=lambda index: moved[index, 1]):
            across, above = np.abs(moved[number] - moved[other])
            if across < width and above < height:
                moved[number, 1] = moved[other, 1] + height
        done.append(int(number))
    return moved


def _sheet(places: np.ndarray, images: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Returns small images in columns from left to right and rows from the top."""
    side = int(np.sqrt(len(images)))
    # As many as fill a square, taken evenly.
    taken = np.linspace(0, len(images) - 1, side * side).astype(int)
    by_x = taken[np.argsort(places[taken, 0], kind="stable")]
    cell = _THUMBNAIL_PX + 2 * _FRAME_PX + 1
    sheet = np.full((side * cell, side * cell, 3), 255, np.uint8)
    for column in range(side):
        members = by_x[column * side : (column + 1) * side]
        for row, number in enumerate(
            members[np.argsort(-places[members, 1], kind="stable")]
        ):
            small = Image.fromarray(images[number]).resize((_THUMBNAIL_PX,) * 2)
            framed = np.empty((cell - 1, cell - 1, 3), np.uint8)
            framed[:] = np.round(255 * colors[number])
            inside = slice(_FRAME_PX, _FRAME_PX + _THUMBNAIL_PX)
            framed[inside, inside] = np.asarray(small)
            top, start = row * cell, column * cell
            sheet[top : top + cell - 1, start : start + cell - 1] = framed
    return sheet
