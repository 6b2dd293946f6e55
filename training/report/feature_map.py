"""A map of images by their features: a color for each class, errors marked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from .insight_plots import main_axes
from .plots import INK, dress, png, shorten

LEAST_IMAGES = 3
_MOST_NAMED_CLASSES = 20


def draw(
    features: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    wrong: np.ndarray | None = None,
) -> bytes:
    """Draws images where their features lie on their two principal components.

    Args:
        features: `(images, channels)`.
        labels: Class numbers `(images,)`.
        classes: Their names.
        wrong: Whether the model takes an image for another class, bool `(images,)`;
            None where it says nothing of these classes.

    Returns:
        A PNG.

    Raises:
        ValueError: There are fewer than three images.
    """
    if len(labels) < LEAST_IMAGES:
        raise ValueError(
            f"a map takes {LEAST_IMAGES} images or more, not {len(labels)}"
        )
    places, share = main_axes(features)
    palette = colormaps["tab10" if len(classes) <= 10 else "tab20"]
    is_named = len(classes) <= _MOST_NAMED_CLASSES
    figure = Figure(figsize=(8, 7.4), layout="constrained")
    axes = figure.subplots()
    for number in np.unique(labels):
        axes.scatter(
            places[labels == number, 0],
            places[labels == number, 1],
            color=palette(number % palette.N),
            s=12,
            linewidths=0,
            label=shorten(classes[number]) if is_named else None,
        )
    if wrong is not None and wrong.any():
        axes.scatter(
            places[wrong, 0],
            places[wrong, 1],
            s=42,
            facecolors="none",
            edgecolors=INK,
            linewidths=1,
            label=f"taken for another class: {int(wrong.sum()):,}",
        )
    along = f"first two components, {share:.0%} of the variance"
    dress(axes, f"{len(labels):,} images by their features", along)
    axes.set_xticks([])
    axes.set_yticks([])
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", ncols=6, frameon=False)
    return png(figure)
