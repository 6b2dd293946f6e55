"""The signatures of a detector: encoded images, pixels, tensors.

Each image is looked at by itself, at its own size, and so takes the memory of one. The
answers have one shape whatever the images' sizes are.
"""

from __future__ import annotations

import tensorflow as tf

from keras_convnext.image import evaluation_view
from keras_convnext.preprocessing import Preprocessing

from ..model.object_network import ObjectNetwork
from .label_map_signatures import decode_or_nothing
from .signatures import require_images, status_of


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
    specs = {
        "bytes": tf.TensorSpec((None,), tf.string, name="image_bytes"),
        "images": tf.TensorSpec((None, None, None, 3), tf.uint8, name="images"),
        "tensors": network.spec(None, any_size=True),
    }

    # Traced once for both signatures.
    pixels = tf.TensorSpec((None, None, 3), tf.uint8)

    @tf.function(autograph=False, input_signature=[pixels])
    def find(image: tf.Tensor) -> dict[str, tf.Tensor]:
        shape = tf.shape(image)
        view = evaluation_view(image, preprocessing)
        return network.find(view, shape[0], shape[1])

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
        status = tf.map_fn(
            lambda pair: status_of(*pair),
            (image_bytes, sizes[:, 0] > 0),
            fn_output_signature=tf.string,
        )
        return {**found, "sizes": sizes, "status": status}

    functions = {
        "bytes": from_bytes,
        "images": from_images,
        "tensors": network.answers,
    }
    signatures = {
        name: tf.function(function, autograph=False).get_concrete_function(specs[name])
        for name, function in functions.items()
    }
    return {"serving_default": signatures[default], **signatures}
