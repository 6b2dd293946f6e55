"""What a pre-training run leaves beside its model: the page, and losses as CSV."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_convnext import _files, _page

from . import pretraining_figures
from . import results as files
from .outcome import Outcome
from .progress import clock
from .sections import ending

_IMAGES = {
    "curves.png": (
        "Training curves",
        "Mean squared error of masked patches, each of variance 1: predicting nothing "
        "has the loss 1. With labeled images (probe_data): how many validation images "
        "the nearest training images name rightly, by the features of the moment.",
    ),
    "reconstructions.png": (
        "Reconstructions",
        "Validation images at equal distances in their order: the image, what the "
        "encoder sees of it, and the predictions in the gaps. Each predicted patch has "
        "the true patch's mean and deviation, which the network does not predict.",
    ),
    "mistakes.png": (
        "Highest loss",
        "The validation images that are predicted worst: fine texture, or unlike the "
        "others.",
    ),
}


def write(outcome: Outcome) -> None:
    """Writes validation.csv, drawings and the page into the workdir."""
    workdir = outcome.workdir
    names = files.image_names(outcome.source)
    losses = zip(names, map(float, outcome.details), strict=True)
    files.write_csv(workdir.validation, ("image", "loss"), losses)
    drawn = pretraining_figures.draw(outcome, names)
    files.write_images(workdir, drawn)
    _files.write_text(workdir.report, page(outcome, drawn))


def page(outcome: Outcome, images: Mapping[str, bytes]) -> str:
    """Returns the report as one HTML file that needs nothing beside it.

    Args:
        outcome: Of pre-training: its details are the losses of the validation images.
        images: PNGs by file name.
    """
    metrics = outcome.metrics
    sections = [
        _page.section(heading, _page.image(heading, images[name]), words)
        for name, (heading, words) in _IMAGES.items()
        if name in images
    ]
    sections += ending(outcome, pretraining_figures.HISTORY)
    title = f"FCMAE of {outcome.recipe.variant}, {outcome.source.name}"
    return _page.page(
        title,
        _summary(metrics),
        figures(metrics, "decoder included") + "".join(sections),
    )


def _summary(metrics: Mapping[str, Any]) -> str:
    words = (
        f"Pre-trained on {metrics['train_examples']:,} images without labels for "
        f"{metrics['epochs']} epochs; evaluated on {metrics['eval_examples']:,} "
        "validation images, with the same masks after every epoch."
    )
    if metrics["kept_epoch"] != metrics["epochs"]:
        words += f" The weights are those of epoch {metrics['kept_epoch']}, the best."
    return words


def figures(metrics: Mapping[str, Any], counted: str) -> str:
    """Returns the page's first row of figures.

    Args:
        metrics: Of a run without labels.
        counted: What its parameters are of.
    """
    probed = []
    if "knn_accuracy" in metrics:
        probed = [(f"{metrics['knn_accuracy']:.2%}", "k-NN accuracy")]
    return _page.figures(
        (
            (f"{metrics['loss']:.4f}", "Validation loss"),
            *probed,
            (f"{metrics['parameters'] / 1e6:.2f} M", f"Parameters, {counted}"),
            (clock(metrics["train_seconds"]), "Training time"),
        )
    )
