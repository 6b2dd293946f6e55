"""The images of a run, drawn as PNG."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# One hue for what was trained on, one for validation; dark enough on white,
# and apart for eyes that do not tell red from green.
TRAIN = "#8a94a6"
VALIDATION = "#0b6bcb"
WRONG = "#c4320a"
INK = "#1f2733"
FAINT = "#e4e8ee"
# Above this a confusion matrix is unreadable as an image.
MOST_CONFUSION_CLASSES = 100
_DPI = 120
_MOST_WRITTEN_CLASSES = 20
_DARK = 0.4
_LONGEST_NAME = 18
_LONGEST_CAPTION = 13


# Figures of an epoch in one drawing: name, color and what it is called there.
Lines = Sequence[tuple[str, str, str]]
_LOSSES = (("loss", TRAIN, "training"), ("val_loss", VALIDATION, "validation"))
_ACCURACIES = (
    ("accuracy", TRAIN, "training"),
    ("val_accuracy", VALIDATION, "validation"),
)


def curves(
    rows: Sequence[dict[str, float]],
    title: str = "Accuracy",
    shares: Lines = _ACCURACIES,
    losses: Lines = _LOSSES,
) -> bytes:
    """Draws loss, accuracy and learning rate over the epochs.

    Args:
        rows: From `history.read`.
        title: Of the second drawing.
        shares: What is drawn in it, fractions.
        losses: What is drawn in the first one.

    Returns:
        A PNG.
    """
    figure = Figure(figsize=(11, 3.9), layout="constrained")
    loss, accuracy, rate = figure.subplots(1, 3, width_ratios=(4, 4, 3))
    epochs = [row["epoch"] for row in rows]
    for axes, words, lines in ((loss, "Loss", losses), (accuracy, title, shares)):
        marker = "o" if len(rows) < 3 else None
        for name, color, label in lines:
            values = [row[name] for row in rows]
            axes.plot(epochs, values, color=color, lw=2, marker=marker, label=label)
        dress(axes, words)
    accuracy.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    # Outside, where it covers no line.
    figure.legend(
        *accuracy.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=len(shares),
        frameon=False,
    )
    rate.plot(epochs, [row["learning_rate"] for row in rows], color=INK, lw=1.5)
    dress(rate, "Learning rate, end of epoch")
    for axes in (loss, accuracy, rate):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    rate.set_ylim(bottom=0)
    rate.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    return png(figure)


def dress(axes: Axes, title: str, along: str = "epoch") -> None:
    """Gives axes the title, the label below and the quiet look of all of them."""
    axes.set_title(title, loc="left", fontsize=11, color=INK, weight="bold")
    axes.set_xlabel(along, color=INK)
    axes.grid(color=FAINT)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(length=0, colors=INK)


def confusion(
    counts: np.ndarray, classes: Sequence[str], of_pixels: bool = False
) -> bytes:
    """Draws a confusion matrix, each row shaded by its share.

    Args:
        counts: `(classes, classes)`; row is the label, column the answer.
        classes: Their names.
        of_pixels: Whether pixels are counted, not images: millions, so that shares
            stand in the places of counts.

    Returns:
        A PNG.
    """
    count = len(classes)
    written = count <= _MOST_WRITTEN_CLASSES
    side = min(max(0.5 * count + 2.4, 4.2), 14) if written else 11.0
    figure = Figure(figsize=(side + 0.4, side), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    right = np.trace(counts) / max(counts.sum(), 1)
    total = f"{counts.sum():,} {'pixels' if of_pixels else 'images'}"
    # From the figure's edge: over two classes alone it would be cut off.
    figure.suptitle(
        f"{'Pixel' if of_pixels else 'Top-1'} accuracy {right:.2%} of {total}",
        x=0.02,
        ha="left",
        fontsize=11,
        color=INK,
        weight="bold",
    )
    axes.set_xlabel("predicted", color=INK)
    axes.set_ylabel("true", color=INK)
    names = [shorten(name) for name in classes]
    ticks = np.arange(count) if written else np.arange(0, count, max(count // 20, 1))
    upright = max(map(len, names)) > 3
    axes.set_xticks(ticks, [names[i] for i in ticks], rotation=90 if upright else 0)
    axes.set_yticks(ticks, [names[i] for i in ticks])
    axes.tick_params(length=0, colors=INK)
    axes.spines[:].set_color(FAINT)
    if written:
        for (row, column), number in np.ndenumerate(counts):
            if number:
                color = INK if row == column else WRONG
                # Neither can be read on the darker half of the blues.
                if shares[row, column] > _DARK:
                    color = "white"
                text = f"{shares[row, column]:.0%}" if of_pixels else f"{number:,}"
                axes.text(column, row, text, ha="center", va="center", color=color)
    return png(figure)


def sheet(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    title: str | None = None,
    names: Sequence[str] = (),
) -> bytes:
    """Draws validation images with the prediction for each.

    Args:
        images: uint8 `(count, height, width, 3)`.
        labels: True class numbers `(count,)`.
        probabilities: `(count, classes)`.
        classes: Their names.
        title: Above them; how many are right unless given.
        names: File names, to stand below them; none unless given.

    Returns:
        A PNG.
    """
    columns = min(8, len(images))
    rows = -(-len(images) // columns)
    below = 0.2 if len(names) else 0.02
    height = 1.85 * rows + 0.5 + below
    figure = Figure(figsize=(1.5 * columns, height))
    # Laid out by hand: matplotlib takes seconds to find it out.
    figure.subplots_adjust(0.01, below / height, 0.99, 1 - 0.9 / height, 0.06, 0.36)
    grid = figure.subplots(rows, columns, squeeze=False)
    answers = probabilities.argmax(axis=1)
    for axes in grid.flat:
        axes.set_axis_off()
    for number, axes in zip(range(len(images)), grid.flat, strict=False):
        answer, label = answers[number], labels[number]
        right = answer == label
        axes.imshow(images[number], interpolation="nearest")
        text = caption(classes[answer], probabilities[number, answer], classes[label])
        axes.set_title(
            text,
            fontsize=9,
            color=INK if right else WRONG,
            weight="normal" if right else "bold",
        )
    for name, axes in zip(names, grid.flat, strict=False):
        text = end_of(name)
        place = axes.transAxes
        axes.text(0.5, -0.03, text, transform=place, ha="center", va="top", fontsize=6)
    wrong = int((answers != labels).sum())
    figure.suptitle(
        title or f"{len(images)} validation images, {len(images) - wrong} correct",
        x=0.01,
        y=1 - 0.1 / height,
        ha="left",
        fontsize=11,
        color=INK,
        weight="bold",
    )
    return png(figure)


def caption(answer: str, share: float, truth: str) -> str:
    """Returns the caption of a small image; a second line if it is wrong."""
    text = f"{shorten(answer, _LONGEST_CAPTION)}  ({share:.0%})"
    if answer != truth:
        text += f"\ntrue: {shorten(truth, _LONGEST_CAPTION)}"
    return text


def shorten(name: str, longest: int = _LONGEST_NAME) -> str:
    """Returns a class name that is no longer than so many characters."""
    return name if len(name) <= longest else name[: longest - 1] + "…"


def end_of(path: str, longest: int = 26) -> str:
    """Returns the end of a path, which is what tells files apart."""
    return path if len(path) <= longest else "…" + path[1 - longest :]


def file_name(number: int, class_name: str) -> str:
    """Returns a file name for a sample image, "03_sunflowers.png"."""
    safe = re.sub(r"[^\w-]+", "_", class_name).strip("_")[:40] or "class"
    return f"{number:02}_{safe}.png"


def png(figure: Figure) -> bytes:
    """Returns a figure as a PNG."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box; the report's tables have it.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        FigureCanvasAgg(figure).print_figure(file, dpi=_DPI, facecolor="white")
    return file.getvalue()
