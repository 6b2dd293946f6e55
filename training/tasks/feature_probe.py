"""How well features tell labeled images apart, while a network is pre-trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np

from keras_convnext.inference.classifier import compile_forward

from ..data.source import Source
from ..evaluation import probes
from .task import Probe

# The best or nearly so on ImageNet, in DINO's table and DINOv2's. Of fewer labeled
# images all vote.
NEIGHBORS = 20
FIGURE = "knn_accuracy"
_BATCH = 64


def make(network: keras.Model, update: Callable[[], None], labeled: Source) -> Probe:
    """Returns a function that measures a network's features by nearest neighbors.

    Each validation image gets the class that its nearest training images vote for, as
    `probes.predict_by_neighbors` has it; neither is augmented.

    Args:
        network: From images `(batch, size, size, 3)` in 0..255 to features `(batch,
            channels)`.
        update: Gives the network the weights of the moment; called first.
        labeled: Images and their classes, as the network is to see them.
    """
    forward = compile_forward(network)
    parts = replace(labeled, validation=labeled.training), labeled

    def probe(check: Callable[[], None]) -> dict[str, float]:
        update()
        (features, labels), (queries, truth) = (
            _embed(forward, part, check) for part in parts
        )
        predicted = probes.predict_by_neighbors(
            features, labels, queries, NEIGHBORS, len(labeled.classes)
        )
        return {FIGURE: probes.accuracies(predicted, truth)[0]}

    return probe


def _embed(
    forward: Callable[[np.ndarray], np.ndarray],
    source: Source,
    check: Callable[[], None],
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the features and the labels of a source's validation images."""
    features, labels = [], []
    for images, truth, weights in source.validation_batches(_BATCH):
        is_real = weights.numpy() > 0
        features.append(forward(images.numpy())[is_real])
        labels.append(truth.numpy()[is_real])
        check()
    return np.concatenate(features), np.concatenate(labels)
