"""What is drawn of a finished detection run, and the images that it leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from keras_convnext.segmentation.palette import palette_for

from ..evaluation.coco_metrics import (
    LEAST_SCORE,
    CocoFigures,
    DetectionResults,
    percent,
)
from . import plots
from . import results as files
from .outcome import Outcome

if TYPE_CHECKING:
    from ..data.box_source import BoxSource

_MOST_OBJECTS = 200
_SHOWN_IMAGES = 8
_BEST_IMAGES = 4
_WORST_IMAGES = 6
_ACROSS = 2
_LONGEST_SIDE_PX = 480
_OPACITY = 0.5
# Labels of more would cover the image.
_MOST_LABELS = 12
_MOST_NAMED_CLASSES = 12
_MOST_BARS = 40
_SHARES = (
    ("val_ap50", plots.TRAIN, "box AP50"),
    ("val_ap", plots.INK, "box AP"),
    ("val_mask_ap", plots.VALIDATION, "mask AP"),
)
_THRESHOLDS = {0.5: plots.VALIDATION, 0.75: plots.TRAIN}


@dataclass(frozen=True)
class Shown:
    """An image with its objects.

    Attributes:
        title: What stands above it.
        image: uint8 `(height, width, 3)`.
        truth: Its objects, as COCO's annotations.
        found: What was found in it, as COCO's results, the best first.
        score: Its AP at an IoU of 0.5.
    """

    title: str
    image: np.ndarray
    truth: Sequence[Mapping[str, Any]]
    found: Sequence[Mapping[str, Any]]
    score: float


def draw(outcome: Outcome, names: Sequence[str]) -> dict[str, bytes]:
    """Draws what a detector makes of validation images, and leaves some as samples.

    Args:
        outcome: Of detection: its source has objects, and its details are
            `DetectionResults`.
        names: File names of the validation images, in their order.

    Returns:
        PNGs by file name.
    """
    source = cast("BoxSource", outcome.source)
    classes = source.classes
    results: DetectionResults = outcome.details
    known = [each for each in _SHARES if each[0] in outcome.history[0]]
    drawn = {
        "curves.png": plots.curves(
            outcome.history, "Validation", known, (("loss", plots.TRAIN, "training"),)
        ),
        "precision.png": precision_by_recall(results),
        "errors.png": errors(results.best),
    }
    if len(classes) > 1:
        drawn["classes.png"] = by_class(results.best, classes)
    truth: dict[int, list[Any]] = {}
    for each in source.annotations["annotations"]:
        truth.setdefault(each["image_id"], []).append(each)
    by_ap, total = results.images_by_ap(), source.validation_examples
    some = np.unique(np.linspace(0, total - 1, min(_SHOWN_IMAGES, total)).astype(int))
    for name, numbers in (
        ("predictions.png", some),
        ("mistakes.png", by_ap[:_WORST_IMAGES]),
        ("best.png", by_ap[::-1][:_BEST_IMAGES]),
    ):
        if not len(numbers):
            continue
        images, _ = source.validation_images(numbers)
        shown = [
            Shown(
                plots.end_of(names[number]),
                image,
                truth.get(number, []),
                results.of_image(number),
                float(results.best.image_ap[number]),
            )
            for number, image in zip(numbers.tolist(), images, strict=True)
        ]
        drawn[name] = sheet(shown, classes)
        if name == "predictions.png":
            samples = {f"{place:02}.png": image for place, image in enumerate(images)}
            files.write_samples(outcome.workdir, samples)
    return drawn


def precision_by_recall(results: DetectionResults) -> bytes:
    """Draws precision by recall, of boxes and of masks, the mean over the classes.

    Returns:
        A PNG.
    """
    kinds = {"Boxes": results.boxes, "Masks": results.masks}
    known = {name: each for name, each in kinds.items() if each is not None}
    figure = Figure(figsize=(4.6 * len(known) + 1.5, 3.9), layout="constrained")
    grid = figure.subplots(1, len(known), squeeze=False)[0]
    for axes, (name, each) in zip(grid, known.items(), strict=True):
        curves = np.ma.masked_less(each.by_recall, 0)
        recalls = np.linspace(0, 1, curves.shape[1])
        for threshold, color in _THRESHOLDS.items():
            curve = curves[round((threshold - 0.5) / 0.05)].mean(axis=1).filled(0)
            axes.plot(recalls, curve, color=color, lw=2, label=f"IoU {threshold}")
        curve = curves.mean(axis=(0, 2)).filled(0)
        axes.plot(recalls, curve, color=plots.INK, lw=2, label="IoU 0.5 to 0.95")
        axes.set_ylim(0, 1.03)
        axes.set_ylabel("precision", color=plots.INK)
        plots.dress(axes, f"{name}: AP {percent(each.figures['ap'])}", "recall")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda share, _: f"{share:.0%}")
    # Outside, where it covers no line.
    figure.legend(
        *grid[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=len(_THRESHOLDS) + 1,
        frameon=False,
    )
    return plots.png(figure)


def by_class(figures: CocoFigures, classes: Sequence[str]) -> bytes:
    """Draws AP of each class that has objects; of many classes those at both ends.

    Returns:
        A PNG.
    """
    values = figures.ap_by_class()
    order = np.argsort(-values, kind="stable")
    order = order[~np.isnan(values[order])]
    title, half = "AP of each class", _MOST_BARS // 2
    if len(order) > _MOST_BARS:
        title = f"Highest and lowest AP of {len(order)} classes"
        order = np.concatenate([order[:half], order[-half:]])
    figure = Figure(figsize=(7, 0.24 * len(order) + 1.1), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(order))
    bars = axes.barh(places, values[order], color=plots.VALIDATION, height=0.7)
    axes.bar_label(
        bars, [f"{values[n]:.1%}" for n in order], padding=3, color=plots.INK
    )
    axes.set_yticks(places, [plots.shorten(classes[number]) for number in order])
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.set_xlim(0, 1.15)
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    plots.dress(axes, title, "")
    return plots.png(figure)


def errors(figures: CocoFigures) -> bytes:
    """Draws by how much AP would rise without each kind of error.

    Returns:
        A PNG.
    """
    names = list(figures.error_counts)
    costs = [100 * figures.error_costs[name] for name in names]
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(np.arange(len(names)), costs, color=plots.WRONG, height=0.7)
    counts = [
        f"{cost:.1f} ({figures.error_counts[name]:,})"
        for name, cost in zip(names, costs, strict=True)
    ]
    axes.bar_label(bars, counts, padding=3, color=plots.INK)
    axes.set_yticks(np.arange(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.25 * max(*costs, 1))
    plots.dress(axes, "Points of AP50 lost by errors (their number)", "")
    return plots.png(figure)


def sheet(shown: Sequence[Shown], classes: Sequence[str]) -> bytes:
    """Draws images with their objects, and beside them with what was found.

    Args:
        shown: The images.
        classes: Names of the classes.

    Returns:
        A PNG.
    """
    across = min(_ACROSS, len(shown))
    rows = -(-len(shown) // across)
    below, title, height = 0.6, 0.3, 2.9 * rows + 0.6
    figure = Figure(figsize=(6 * across, height))
    # Laid out by hand: matplotlib takes many seconds to find it out.
    figure.subplots_adjust(0.01, below / height, 0.99, 1 - title / height, 0.03, 0.12)
    grid = figure.subplots(rows, 2 * across, squeeze=False)
    palette = palette_for(classes)
    for axes in grid.flat:
        axes.set_axis_off()
    for number, each in enumerate(shown):
        row, column = divmod(number, across)
        true, guessed = grid[row, 2 * column : 2 * column + 2]
        sure = [one for one in each.found if one["score"] >= LEAST_SCORE]
        ap = "" if np.isnan(each.score) else f", AP50 {each.score:.0%}"
        for axes, objects, words in (
            (true, each.truth, f"{each.title}: {_count(each.truth)}"),
            (guessed, sure, f"{len(sure)} predicted{ap}"),
        ):
            _draw_objects(axes, each.image, objects[:_MOST_OBJECTS], classes, palette)
            axes.set_title(words, fontsize=8, color=plots.INK)
    labels = {one["category_id"] for each in shown for one in (*each.truth,)}
    if len(classes) > 1:
        figure.legend(
            handles=[
                Patch(color=palette[n] / 255, label=plots.shorten(classes[n]))
                for n in sorted(labels)[:_MOST_NAMED_CLASSES]
            ],
            loc="lower left",
            ncols=6,
            frameon=False,
            fontsize=8,
        )
    return plots.png(figure)


def _count(truth: Sequence[Mapping[str, Any]]) -> str:
    number = sum(not one.get("iscrowd") for one in truth)
    return f"{number} object{'s' * (number != 1)}"


def _draw_objects(
    axes: Axes,
    image: np.ndarray,
    objects: Sequence[Mapping[str, Any]],
    classes: Sequence[str],
    palette: np.ndarray,
) -> None:
    """Draws an image with objects; those of a single class in several colors."""
    from hotcoco import mask as run_lengths

    step = -(-max(image.shape[:2]) // _LONGEST_SIDE_PX)
    pixels = image[::step, ::step].copy()
    several = palette_for([str(number) for number in range(20)])
    # The best last, so that nothing covers them.
    for place, one in reversed(list(enumerate(objects))):
        number = one["category_id"]
        own = palette[number] if len(classes) > 1 else several[place % len(several)]
        if "segmentation" in one:
            mask = run_lengths.decode(one["segmentation"])[::step, ::step].astype(bool)
            mixed = (1 - _OPACITY) * pixels[mask] + _OPACITY * own
            pixels[mask] = np.rint(mixed).astype(np.uint8)
        x, y, width, height = np.array(one["bbox"]) / step
        style = "--" if one.get("iscrowd") else "-"
        # Half a pixel: an image's first one is drawn around 0.
        axes.add_patch(
            Rectangle(
                (x - 0.5, y - 0.5), width, height, fill=False, ls=style, ec=own / 255
            )
        )
        if len(objects) <= _MOST_LABELS and len(classes) > 1:
            score = f" {one['score']:.2f}" if "score" in one else ""
            axes.text(
                x,
                y,
                plots.shorten(classes[number]) + score,
                fontsize=6,
                color="white",
                va="top",
                clip_on=True,
                bbox={"facecolor": own / 255, "edgecolor": "none", "pad": 0.8},
            )
    axes.imshow(pixels, interpolation="nearest")
