"""How well features tell labeled images apart, while a network is pre-trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_convnext._data.data_error import DataError
from keras_convnext.inference.classifier import compile_forward

from ..data.source import Source
from ..evaluation import probes
from ..recipes.recipe import Recipe
from .task import Probe

if TYPE_CHECKING:
    from ..data.unlabeled_source import UnlabeledSource

# The best or nearly so on ImageNet, in DINO's table and DINOv2's. Of fewer labeled
# images all vote.
NEIGHBORS = 20
FIGURE = "knn_accuracy"
_BATCH = 64


def with_labeled(
    source: UnlabeledSource, recipe: Recipe, skip_bad_images: bool
) -> UnlabeledSource:
    """Returns a source with the labeled images that a recipe's probe is to ask.

    Args:
        source: Of the run.
        recipe: Its `probe_data`, size, split and seed are used.
        skip_bad_images: Leave unreadable images out instead of refusing.

    Raises:
        DataError: The labeled images cannot be used; says all that is wrong.
    """
    from ..data import loading  # TensorFlow's decoders, which JAX does without

    data = recipe.probe_data
    if data is None:
        return source
    try:
        labeled = loading.load(
            data,
            size_px=recipe.size_px,
            validation_share=recipe.validation_share,
            seed=recipe.seed,
            skip_bad_images=skip_bad_images,
        )
    except DataError as error:
        raise DataError(f"probe_data={data}: {error}") from error
    notices = (f"probe_data: {notice}" for notice in labeled.notices)
    return replace(
        source,
        labeled=labeled,
        skipped=(*source.skipped, *labeled.skipped),
        notices=(*source.notices, *notices),
    )


def of_encoder(
    build: Callable[[], keras.Model], trained: keras.Model, source: UnlabeledSource
) -> Probe:
    """Returns what measures an encoder while it learns.

    Args:
        build: Returns a network that gives the encoder's features, in float32.
        trained: What learns; its weights of the moment are measured.
        source: The run's; nothing is measured where it has no labeled images.
    """
    if source.labeled is None:
        return lambda check: {}
    plain = build()
    return make(
        plain,
        lambda: copy_weights(trained, plain),
        replace(source.labeled, preprocessing=source.preprocessing),
    )


def copy_weights(trained: keras.Model, plain: keras.Model) -> None:
    """Gives a model another one's weights where their paths are the same."""
    values = {variable.path: variable for variable in trained.weights}
    for variable in plain.weights:
        if variable.path in values:
            variable.assign(values[variable.path])


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
