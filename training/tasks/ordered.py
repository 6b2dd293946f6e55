"""One class an image of several that have an order: a classifier that knows it.

The network has a logit for each class, as any classifier, and its probabilities sum to
1: exports, servers and predict need to know nothing. What differs is the loss, which
asks of each threshold between two classes on which side of it the image is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ..data.source import Source
from ..evaluation import ordered_metrics
from ..recipes.metric import METRICS
from ..recipes.recipe import Recipe
from . import classification
from .task import Evaluation, Rows


def load(data: str, recipe: Recipe, skip_bad_images: bool) -> Source:
    """Returns labeled images, their classes in order.

    Args:
        data: What `--data` says.
        recipe: As in `classification.load`; its `class_order` is used, too.
        skip_bad_images: Leave unreadable images out instead of refusing.

    Raises:
        DataError: The data cannot be used; says all that is wrong.
    """
    # TensorFlow's decoders, which JAX does without.
    from ..data.ordered_classes import put_in_order

    plain: Any = replace(
        recipe, target="label", loss="softmax", class_order=None, best_metric=None
    )
    source = classification.load(data, plain, skip_bad_images)
    return put_in_order(source, recipe.class_order)


def evaluate(rows: Iterable[Rows], source: Source) -> Evaluation:
    """Returns the figures of a classifier, and by how many classes it is off."""
    found = classification.evaluate(rows, source)
    off = ordered_metrics.figures_of(found.details)
    return replace(
        found, figures={**found.figures, **off}, metrics={**found.metrics, **off}
    )


ORDERED = replace(
    classification.CLASSIFICATION,
    name="ordered",
    metric=METRICS["ordered"][0],
    load=load,
    evaluate=evaluate,
)
