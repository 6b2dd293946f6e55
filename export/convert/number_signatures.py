"""The signatures of a SavedModel that answers with a number."""

from __future__ import annotations

import tensorflow as tf

from keras_convnext.preprocessing import Preprocessing

from ..model.forward import Network
from . import signatures


def make(
    network: Network, preprocessing: Preprocessing, default: str = "bytes"
) -> dict[str, tf.types.experimental.ConcreteFunction]:
    """Returns the signatures by name.

    Args:
        network: The forward pass, with one output.
        preprocessing: How an image becomes its input.
        default: Which of `signatures.DEFAULTS` is called `serving_default` too.

    Returns:
        `bytes` (`image_bytes` string `(batch,)` to `number` float32 `(batch,)`, 0 for
        what is no image, and `status` string `(batch,)`), `images` (`images` uint8
        `(batch, height, width, 3)`) and `tensors` (`tensors` float32 `(batch, size_px,
        size_px, 3)` in 0..255) to `number`, and `features` (`tensors`) to `features`
        float32 `(batch, channels)`.
    """

    def from_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        signatures.require_images(image_bytes)
        views, is_good = signatures.views_of_files(image_bytes, preprocessing)
        return {
            "number": tf.where(is_good, network.numbers(views), 0.0),
            "status": signatures.status_of(image_bytes, is_good),
        }

    def from_images(images: tf.Tensor) -> dict[str, tf.Tensor]:
        views = signatures.views_of_images(images, preprocessing)
        return {"number": network.numbers(views)}

    functions = {
        "bytes": from_bytes,
        "images": from_images,
        "tensors": lambda tensors: {"number": network.numbers(tensors)},
        "features": lambda tensors: {"features": network.features(tensors)},
    }
    specs = {
        **signatures.image_specs(network.spec(None)),
        "features": network.spec(None),
    }
    return signatures.trace(functions, specs, default)
