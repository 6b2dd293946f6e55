"""The signatures of a segmentation model: encoded images, pixels, tensors.

Each image is labeled by itself, at its own size, and so takes the memory of one.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from keras_convnext.preprocessing import Preprocessing

from ..model.label_map_network import LabelMapNetwork
from .signatures import (
    decode_or_nothing,
    image_specs,
    of_pixels,
    require_images,
    status_of,
    trace,
)

# What stands in a map beside an image that is smaller than its neighbors.
NO_CLASS = {tf.uint8: 255, tf.int32: 65535}


def make(
    network: LabelMapNetwork, preprocessing: Preprocessing, default: str = "bytes"
) -> dict[str, tf.types.experimental.ConcreteFunction]:
    """Returns the signatures by name.

    Args:
        network: The forward pass.
        preprocessing: In which size it sees an image.
        default: Which of `signatures.DEFAULTS` is called `serving_default` too.

    Returns:
        `bytes` (`image_bytes` string `(batch,)` to `classes` `(batch, height, width)`,
        `sizes` int32 `(batch, 2)` and `status` string `(batch,)`): smaller maps are
        filled up with `NO_CLASS` to the size of the largest, and `sizes` has their own
        heights and widths, 0 where a file is no image. `images` (`images`
        uint8 `(batch, height, width, 3)`) and `tensors` (`tensors` float32 `(batch,
        height, width, 3)` in 0..255, resized already) to `classes` alone.
    """
    label = of_pixels(network.label_map, preprocessing)

    def from_images(images: tf.Tensor) -> dict[str, tf.Tensor]:
        require_images(images)
        signature = tf.TensorSpec((None, None), network.dtype)
        return {
            "classes": tf.map_fn(
                label, images, fn_output_signature=signature, parallel_iterations=1
            )
        }

    functions = {
        "bytes": lambda files: _from_bytes(network.dtype, label, files),
        "images": from_images,
        "tensors": network.answers,
    }
    return trace(functions, image_specs(network.spec(None, any_size=True)), default)


def _from_bytes(
    dtype: tf.DType, label: Callable[[tf.Tensor], tf.Tensor], image_bytes: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Labels a batch of files, whatever is in them."""
    require_images(image_bytes)

    def label_file(contents: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        image = decode_or_nothing(contents)
        size = tf.shape(image)[:2]
        labels = tf.cond(
            size[0] > 0, lambda: label(image), lambda: tf.zeros((0, 0), dtype)
        )
        return tf.RaggedTensor.from_tensor(labels), size

    maps, sizes = tf.map_fn(
        label_file,
        image_bytes,
        fn_output_signature=(
            tf.RaggedTensorSpec((None, None), dtype, ragged_rank=1),
            tf.TensorSpec((2,), tf.int32),
        ),
        parallel_iterations=1,
    )
    status = status_of(image_bytes, sizes[:, 0] > 0)
    nothing = tf.constant(NO_CLASS[dtype], dtype)
    classes = maps.to_tensor(nothing)
    return {"classes": classes, "sizes": sizes, "status": status}
