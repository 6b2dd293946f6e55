"""Classifiers that see each image several times: test-time augmentation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from keras_convnext._messages import UsageError

from .view_rule import ViewRule

if TYPE_CHECKING:
    from keras_convnext.inference.classifier import Classifier

    from ..data.source import Source

PLAIN = ViewRule()


def probabilities(
    model: Classifier, source: Source, batch: int, rule: ViewRule = PLAIN
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields labels and probabilities of the validation images, batch by batch.

    For each scale the image itself is made larger or smaller, as evaluation makes it,
    and not what a model of one size would see of it.

    Args:
        model: What is asked.
        source: The images.
        batch: Images at a time.
        rule: How the model looks at them; the mean over all views is what it says.

    Yields:
        (labels as the source has them, float32 `(images, labels)`).

    Raises:
        UsageError: The model takes images of one size alone.
    """
    sizes = [int(model.preprocessing.size_px * scale) for scale in rule.scales]
    asked = [_of_size(model, size) for size in sizes]
    sources = [
        replace(source, preprocessing=replace(source.preprocessing, size_px=size))
        for size in sizes
    ]
    streams = [each.validation_batches(batch) for each in sources]
    for views in zip(*streams, strict=True):
        answers = []
        for ask, (images, _, weights) in zip(asked, views, strict=True):
            real = weights.numpy() > 0
            seen = images.numpy()[real].astype(np.float32)
            answers.append(ask.probabilities(seen))
            if rule.flip:
                answers.append(
                    ask.probabilities(np.ascontiguousarray(seen[:, :, ::-1]))
                )
        _, labels, _ = views[0]
        mean = answers[0] if len(answers) == 1 else np.mean(answers, axis=0)
        yield labels.numpy()[real], mean


def _of_size(model: Classifier, size_px: int) -> Classifier:
    """Returns the model for images of a size.

    Raises:
        UsageError: It takes those of its own size alone.
    """
    from keras_convnext.inference.classifier import with_size

    if size_px == model.preprocessing.size_px:
        return model
    if model.model is None:
        raise UsageError(
            f"{model.name} is an exported file, which takes images of one size: "
            "--scales is for .keras files, runs and published checkpoints"
        )
    try:
        return with_size(model, size_px)
    except ValueError as error:
        raise UsageError(f"--scales is not for {model.name}: {error}") from error
