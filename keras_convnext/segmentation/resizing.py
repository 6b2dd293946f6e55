"""Bilinear resizing to the size of another tensor, known or not."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_convnext")
class ResizeLike(keras.layers.Layer):
    """Resizes feature maps to the height and width of a second input.

    Half-pixel centers and no antialiasing: torch's `align_corners=False`.

    Shapes: `(batch, h, w, channels)` and `(batch, height, width, any)` in,
    `(batch, height, width, channels)` out.

    Source: the resizing of torch.nn.functional.interpolate.

    Example:
        >>> import numpy as np
        >>> from keras_convnext.segmentation import ResizeLike
        >>> pair = np.array([0.0, 4.0], "float32").reshape(1, 1, 2, 1)
        >>> wide = np.zeros((1, 1, 4, 1), "float32")
        >>> ResizeLike()(pair, wide)[0, 0, :, 0].numpy().tolist()
        [0.0, 1.0, 3.0, 4.0]
    """

    def call(self, inputs: Any, like: Any) -> Any:
        size = ops.shape(like)[1:3]
        if keras.backend.backend() == "tensorflow":
            # Keras' own wants a size that is known when the graph is made.
            import tensorflow as tf

            return tf.cast(tf.image.resize(inputs, size), inputs.dtype)
        return ops.image.resize(
            inputs,
            tuple(size),
            interpolation="bilinear",
            antialias=False,
            data_format="channels_last",
        )

    def compute_output_shape(
        self, inputs_shape: tuple[int | None, ...], like_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (inputs_shape[0], *like_shape[1:3], inputs_shape[-1])

    def get_config(self) -> dict[str, Any]:
        # Keras' own cannot tell how a layer was made whose dtype is a policy.
        return dict(super().get_config())
