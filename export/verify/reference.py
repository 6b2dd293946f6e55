"""What Keras says of the images that an export is compared on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_convnext._messages import UsageError
from keras_convnext.image import evaluation_view

from ..images.comparison import ComparisonImages, decode
from ..model.forward import Network
from ..model.loaded_model import Source
from .agreement import decide_on_class, varies

_BATCH = 8


@dataclass(frozen=True)
class Reference:
    """Images as the model sees them, and what Keras says of each.

    Attributes:
        names: What the images are called.
        files: The encoded images.
        images: Their pixels, uint8 `(height, width, 3)`.
        tensors: What the model takes, float32 `(count, size_px, size_px, 3)`, 0..255.
        probabilities: Keras' answers, float32 `(count, outputs)`.
        features: What Keras' classifier sees, float32 `(count, channels)`.
        labels: The class names.
        kind: What the answers are, as `OutputMeaning.kind`.
        truth: The number of each image's class, `(count,)`; `None` where not all of
            the images come with a class of the model's.
    """

    names: tuple[str, ...]
    files: tuple[bytes, ...]
    images: tuple[np.ndarray, ...]
    tensors: np.ndarray
    probabilities: np.ndarray
    features: np.ndarray
    labels: tuple[str, ...]
    kind: str = "softmax"
    truth: np.ndarray | None = None

    def accuracy(self, probabilities: np.ndarray) -> float | None:
        """Returns the share of images whose class is said rightly, if known."""
        decided = decide_on_class(self.kind, probabilities)
        if self.truth is None or decided is None:
            return None
        return float(np.mean(decided == self.truth))


def ask_keras(source: Source, compared: ComparisonImages) -> Reference:
    """Returns Keras' own answers.

    Args:
        source: The model.
        compared: What to ask about.

    Raises:
        UsageError: An image cannot be decoded, or the model does not tell them apart.
    """
    images = [decode(image) for image in compared.members]
    views = [evaluation_view(image, source.preprocessing).numpy() for image in images]
    tensors = np.stack(views)
    probabilities = ask_model(source, tensors)
    if not np.all(np.isfinite(probabilities)):
        raise UsageError(f"{source.name} answers with numbers that are not finite")
    if varies(tensors) > 0 and not varies(probabilities) > 0:
        raise UsageError(
            f"{source.name} answers every image alike ({len(images)} tried): there is "
            "nothing to compare an exported file by; is the model trained, and does it "
            "get images as it was trained on (--normalization)?"
        )
    network = Network(
        source.model,
        source.preprocessing,
        meaning=source.meaning,
        normalizes=source.normalizes,
    )
    features = [network.features(batch).numpy() for batch in _batches(tensors)]
    return Reference(
        names=tuple(image.name for image in compared.members),
        files=tuple(image.contents for image in compared.members),
        images=tuple(images),
        tensors=tensors,
        probabilities=probabilities,
        features=np.concatenate(features),
        labels=source.labels,
        kind=source.meaning.kind,
        truth=_truth(compared, source.labels),
    )


def _batches(tensors: np.ndarray) -> list[np.ndarray]:
    return [tensors[i : i + _BATCH] for i in range(0, len(tensors), _BATCH)]


def ask_model(source: Source, tensors: np.ndarray) -> np.ndarray:
    """Returns the outputs of the model itself, without any graph of this project.

    Args:
        source: The model.
        tensors: float32 `(count, size_px, size_px, 3)` in 0..255.

    Returns:
        Probabilities (or features), float32 `(count, outputs)`; with `source.flip` the
        mean of those for each image and for its mirror image.
    """
    answers = _ask_once(source, tensors)
    if source.flip:
        answers = (answers + _ask_once(source, tensors[:, :, ::-1])) / 2
    return answers.astype(np.float32)


def _ask_once(source: Source, tensors: np.ndarray) -> np.ndarray:
    """Returns the outputs, activated, in float64."""
    mean, variance = source.preprocessing.normalization(3)
    if not source.normalizes:
        tensors = ((tensors - mean) / np.sqrt(variance)).astype(np.float32)

    def given(batch: tf.Tensor) -> Any:
        if isinstance(source.model, keras.Sequential):
            return batch
        return keras.tree.map_structure(lambda _: batch, source.model.input)

    @tf.function
    def ask(batch: tf.Tensor) -> tf.Tensor:
        (outputs,) = keras.tree.flatten(source.model(given(batch), training=False))
        return tf.cast(outputs, tf.float64)

    outputs = np.concatenate([ask(tf.constant(part)) for part in _batches(tensors)])
    activate = _ACTIVATIONS[source.meaning.activation]
    return activate(outputs)


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    # The same function, with no exponent of a large number.
    return 0.5 * (1 + np.tanh(0.5 * logits))


# In float64, from the definitions.
_ACTIVATIONS: dict[str | None, Callable[[np.ndarray], np.ndarray]] = {
    "softmax": _softmax,
    "sigmoid": _sigmoid,
    None: np.asarray,
}


def _truth(compared: ComparisonImages, labels: tuple[str, ...]) -> np.ndarray | None:
    """Returns the numbers of the images' own classes, if the model has them all."""
    number_of = {label: number for number, label in enumerate(labels)}
    numbers = [number_of.get(image.label or "") for image in compared.members]
    return None if None in numbers else np.array(numbers)
