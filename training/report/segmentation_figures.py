"""What is drawn of a finished segmentation run, and the images that it leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import keras
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from keras_convnext.segmentation import inference
from keras_convnext.segmentation.metrics import mean_iou
from keras_convnext.segmentation.palette import overlay

from ..evaluation.label_maps import LabelMapResults
from . import plots
from . import results as files
from .outcome import Outcome

if TYPE_CHECKING:
    from ..data.mask_source import MaskSource

_SHOWN_IMAGES = 8
_WORST_IMAGES = 6
_ACROSS = 2
_LONGEST_SIDE_PX = 320
_MOST_NAMED_CLASSES = 12
_SHARES = (
    ("aacc", plots.TRAIN, "pixel accuracy, training"),
    ("val_aacc", plots.INK, "pixel accuracy, validation"),
    ("val_miou", plots.VALIDATION, "mIoU, validation"),
)


def draw(outcome: Outcome, names: Sequence[str]) -> dict[str, bytes]:
    """Draws what a model makes of validation images, and leaves some as samples.

    Args:
        outcome: Of segmentation: its model has probabilities as outputs, its source
            masks, and its details are counted pixels.
        names: File names of the validation images, in their order.

    Returns:
        PNGs by file name.
    """
    source = cast("MaskSource", outcome.source)
    classes = source.classes
    results: LabelMapResults = outcome.details
    drawn = {"curves.png": plots.curves(outcome.history, "Validation", _SHARES)}
    if len(classes) <= plots.MOST_CONFUSION_CLASSES:
        drawn["confusion.png"] = plots.confusion(
            results.counts, classes, of_pixels=True
        )
    label = make_labeler(outcome.model, source.preprocessing.size_px)
    total = source.validation_examples
    some = np.unique(np.linspace(0, total - 1, min(_SHOWN_IMAGES, total)).astype(int))
    worst = results.worst_images(_WORST_IMAGES)
    for name, numbers in (("predictions.png", some), ("mistakes.png", worst)):
        if not len(numbers):
            continue
        images, masks = source.validation_images(numbers)
        shown = [
            (image, mask, label(image))
            for image, mask in zip(images, masks, strict=True)
        ]
        titles = [plots.end_of(names[number]) for number in numbers]
        drawn[name] = sheet(shown, titles, classes, source.palette)
        if name == "predictions.png":
            samples = {f"{place:02}.png": image for place, image in enumerate(images)}
            files.write_samples(outcome.workdir, samples)
    return drawn


def make_labeler(
    model: keras.Model, size_px: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from an image of any size to its label map.

    Args:
        model: With probabilities as outputs, for images of any size.
        size_px: Side of the crops that it was trained on.
    """
    logits = inference.logits_model(model)

    def predict(images: np.ndarray) -> Any:
        # Called directly: `predict` would have every device answer every image.
        return logits(images.astype(np.float32), training=False)

    return lambda image: inference.predict_label_map(predict, image, size_px)


def sheet(
    shown: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    titles: Sequence[str],
    classes: Sequence[str],
    palette: np.ndarray,
) -> bytes:
    """Draws images, each with its true and its predicted label map over it.

    Args:
        shown: For each image uint8 `(height, width, 3)`, labels and prediction
            `(height, width)`.
        titles: What stands above each.
        classes: Names of the classes.
        palette: Their colors, uint8 `(classes, 3)`.

    Returns:
        A PNG.
    """
    across = min(_ACROSS, len(shown))
    rows = -(-len(shown) // across)
    named = np.unique(np.concatenate([mask.ravel() for _, mask, _ in shown]))
    named = named[named < len(classes)][:_MOST_NAMED_CLASSES]
    figure = Figure(figsize=(5.4 * across, 2.1 * rows + 0.7), layout="constrained")
    grid = figure.subplots(rows, 3 * across, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for number, (image, mask, prediction) in enumerate(shown):
        row, column = divmod(number, across)
        axes = grid[row, 3 * column : 3 * column + 3]
        step = -(-max(mask.shape) // _LONGEST_SIDE_PX)
        small, truth, guess = (
            each[::step, ::step] for each in (image, mask, prediction)
        )
        layers = (small, overlay(small, truth, palette), overlay(small, guess, palette))
        iou = mean_iou(mask, prediction, len(classes), _ignored(mask, len(classes)))
        for place, pixels, words in zip(
            axes,
            layers,
            (titles[number], "true", f"predicted, IoU {iou:.0%}"),
            strict=True,
        ):
            place.imshow(pixels, interpolation="nearest")
            place.set_title(words, fontsize=8, color=plots.INK)
    figure.legend(
        handles=[
            Patch(color=palette[label] / 255, label=plots.shorten(classes[label]))
            for label in named
        ],
        loc="outside lower left",
        ncols=6,
        frameon=False,
        fontsize=8,
    )
    return plots.png(figure)


def _ignored(mask: np.ndarray, classes: int) -> int:
    """Returns the label of a mask's pixels that do not count."""
    return max(int(mask.max()), classes)
