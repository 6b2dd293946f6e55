"""What distillation without labels leaves: the page, and losses as CSV."""

from __future__ import annotations

import numpy as np

from keras_convnext import _files, _page

from . import pretraining_figures, pretraining_html, sections
from . import results as files
from .outcome import Outcome

_SAMPLES = 8
_CURVES = (
    "Training curves",
    "Smooth L1 loss of the teacher's normalized features: predicting nothing has at "
    "most 0.25. With labeled images (probe_data): how many validation images the "
    "nearest training images name rightly, by the features of the moment.",
)


def write(outcome: Outcome) -> None:
    """Writes validation.csv, drawings, samples and the page into the workdir."""
    workdir, source = outcome.workdir, outcome.source
    losses = zip(files.image_names(source), map(float, outcome.details), strict=True)
    files.write_csv(workdir.validation, ("image", "loss"), losses)
    curves = pretraining_figures.curves(outcome.history)
    files.write_images(workdir, {"curves.png": curves})
    total = source.validation_examples
    some = np.unique(np.linspace(0, total - 1, min(_SAMPLES, total)).astype(int))
    images, _ = source.validation_images(some)
    samples = {f"{place:02}.png": image for place, image in enumerate(images)}
    files.write_samples(workdir, samples)
    _files.write_text(workdir.report, page(outcome, curves))


def page(outcome: Outcome, curves: bytes) -> str:
    """Returns the report as one HTML file that needs nothing beside it.

    Args:
        outcome: Of distillation: its details are the losses of the validation images.
        curves: A PNG.
    """
    heading, words = _CURVES
    parts = [
        _page.section(heading, _page.image(heading, curves), words),
        *sections.ending(outcome, pretraining_figures.HISTORY),
    ]
    recipe = outcome.recipe
    title = f"{recipe.variant}, distilled from {recipe.teacher}, {outcome.source.name}"
    told = f"{sections.summary(outcome.metrics)} No labels were used."
    figures = pretraining_html.figures(outcome.metrics, "with the projection")
    return _page.page(title, told, figures + "".join(parts))
