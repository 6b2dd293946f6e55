"""The average of several models' weights: of all, or of those that it gains from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_convnext.inference.classifier import Classifier
from keras_convnext.inference.loaded_model import LoadedModel

from ..evaluation import classifiers
from .class_order import find_order

Weights = list[np.ndarray]
# What weights began with, and names, which Keras numbers.
_BEGINNINGS = ("seed", "initializer")
_NAMES = ("name", "inbound_nodes", "input_layers", "output_layers")


def check_alike(models: Sequence[LoadedModel]) -> None:
    """Makes sure that models are of one architecture and for the same images.

    Args:
        models: Two or more.

    Raises:
        ValueError: They are not, and which differs in what; one line.
    """
    first = models[0]
    for other in models[1:]:
        differs = _find_difference(first, other)
        if differs:
            raise ValueError(f"{other.name} and {first.name} differ in {differs}")


def _find_difference(one: LoadedModel, other: LoadedModel) -> str | None:
    if one.meaning.kind != other.meaning.kind:
        return f"their outputs: {other.meaning.kind} and {one.meaning.kind}"
    if one.labels != other.labels:
        return "their labels, or in their order"
    own, theirs = _shapes(one.model), _shapes(other.model)
    if own != theirs:
        if len(own) != len(theirs):
            return f"their architecture: {len(theirs)} and {len(own)} variables"
        pairs = zip(theirs, own, strict=True)
        found, wanted = next(pair for pair in pairs if pair[0] != pair[1])
        return f"their architecture: {_in_words(found)} and {_in_words(wanted)}"
    if one.preprocessing != other.preprocessing:
        return "their preprocessing.json"
    if _settings(one.model.get_config()) != _settings(other.model.get_config()):
        return "the settings of their layers"
    return None


def _shapes(model: Any) -> list[tuple[str, tuple[int, ...]]]:
    """Returns the last part of each variable's path, and its shape."""
    return [(variable.name, tuple(variable.shape)) for variable in model.weights]


def _in_words(variable: tuple[str, tuple[int, ...]]) -> str:
    name, shape = variable
    return f"a {name} of {'x'.join(map(str, shape))}"


def _settings(config: Any) -> Any:
    """Returns a model's configuration without what runs of one recipe differ in."""
    if isinstance(config, Mapping):
        return {
            key: _settings(value)
            for key, value in config.items()
            if key not in _NAMES and not str(key).endswith(_BEGINNINGS)
        }
    if isinstance(config, list | tuple):
        return [_settings(value) for value in config]
    return config


def average(models: Sequence[Weights]) -> Weights:
    """Returns the mean of each weight, of its own type; whole numbers are the first's.

    Args:
        models: The weights of each, in one order.
    """
    return [
        np.mean(same, axis=0, dtype=np.float64).astype(same[0].dtype)
        if np.issubdtype(same[0].dtype, np.floating)
        else same[0]
        for same in zip(*models, strict=True)
    ]


def pick_greedily(
    models: Sequence[Weights], measure: Callable[[Weights], float]
) -> tuple[list[int], list[float], float]:
    """Returns the models whose average is best, as far as one pass finds them.

    From the best to the worst, a model is taken where the average with it is at least
    as good as without it. Source: arXiv:2203.05482, recipe 1.

    Args:
        models: The weights of each.
        measure: From weights to a figure; a larger one is better.

    Returns:
        Their numbers in the order that they were taken, the figure of every model
        alone, and that of the average.
    """
    alone = [measure(weights) for weights in models]
    first, *others = sorted(range(len(models)), key=lambda number: -alone[number])
    taken, best = [first], alone[first]
    for number in others:
        figure = measure(average([models[one] for one in (*taken, number)]))
        if figure >= best:
            taken, best = [*taken, number], figure
    return taken, alone, best


def make_accuracy(
    model: keras.Model, classifier: Classifier, source: Any, batch: int
) -> Callable[[Weights], float]:
    """Returns a function from weights to the top-1 accuracy on validation images.

    Args:
        model: Gets the weights.
        classifier: Answers with this model.
        source: The images, as `data.load` returns them.
        batch: How many are classified at once.
    """
    order = find_order(source.classes, classifier)

    def measure(weights: Weights) -> float:
        model.set_weights(weights)
        predictions, _ = classifiers.evaluate(classifier, source, order, batch)
        return float(predictions.top1)

    return measure
