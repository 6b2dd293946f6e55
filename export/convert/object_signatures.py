"""The signatures of a detector: encoded images, pixels, tensors.

Each image is looked at by itself, at its own size, and so takes the memory of one. The
answers have one shape whatever the images' sizes are.
"""

from __future__ import annotations

import tensorflow as tf

from keras_convnext.preprocessing import Preprocessing

from ..model.object_network import ObjectNetwork
from .signatures import (
    decode_or_nothing,
    image_specs,
    of_pixels,
    require_images,
    status_of,
    trace,
)


def make(
    network: ObjectNetwork, preprocessing: Preprocessing, default: str = "bytes"
) -> dict[str, tf.types.experimental.ConcreteFunction]:
    """Returns the signatures by name.

    Args:
        network: The forward pass.
        preprocessing: In which size it sees an image.
        default: Which of `signatures.DEFAULTS` is called `serving_default` too.

    Returns:
        `bytes` (`image_bytes` string `(batch,)`), `images` (`images` uint8 `(batch,
        height, width, 3)`) and `tensors` (`tensors` float32 `(batch, height, width, 3)`
        in 0..255, resized already) to the outputs of `keras_convnext.MaskRCNN`, with
        `boxes` in pixels of the images' own size. `bytes` also gives `sizes` int32
        `(batch, 2)`, heights and widths, 0 where a file is no image, and `status`
        string `(batch,)`.
    """
    find = of_pixels(network.find, preprocessing)

    def from_images(images: tf.Tensor) -> dict[str, tf.Tensor]:
        require_images(images)
        found: dict[str, tf.Tensor] = tf.map_fn(
            find,
            images,
            fn_output_signature=network.outputs,
            parallel_iterations=1,
        )
        return found

    def find_in_file(contents: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        image = decode_or_nothing(contents)
        size = tf.shape(image)[:2]
        return tf.cond(size[0] > 0, lambda: find(image), network.nothing), size

    def from_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        require_images(image_bytes)
        found, sizes = tf.map_fn(
            find_in_file,
            image_bytes,
            fn_output_signature=(network.outputs, tf.TensorSpec((2,), tf.int32)),
            parallel_iterations=1,
        )
        status = status_of(image_bytes, sizes[:, 0] > 0)
        return {**found, "sizes": sizes, "status": status}

    functions = {
        "bytes": from_bytes,
        "images": from_images,
        "tensors": network.answers,
    }
    return trace(functions, image_specs(network.spec(None, any_size=True)), default)
