"""The mask head: from the features of a box to the object's shape inside."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

# Bins in each direction that a mask head reads; masks are twice as fine.
SIZE = 14
_HE_NORMAL = ("fan_out", 2.0, "untruncated_normal")
# torch's own. Source: mmdetection 3.3.0, where the cascade's heads keep them.
_TORCH_UNIFORM = ("fan_in", 1 / 3, "uniform")


def mask_head(
    features: Any, classes: int, name: str = "mask", dtype: Any = None
) -> Any:
    """Builds a mask head.

    Args:
        features: `(boxes, 14, 14, channels)`.
        classes: Classes of objects.
        name: Begins the layers' names: "mask", or of a cascade's stage "mask0".
        dtype: Dtype policy of the layers; logits are float32.

    Returns:
        Logits `(boxes, 28, 28, classes)`.

    Source: arXiv:1703.06870, figure 4, right.
    """
    last = _HE_NORMAL if name == "mask" else _TORCH_UNIFORM
    channels = features.shape[-1]
    x = features
    for index in range(4):
        x = keras.layers.Conv2D(
            channels,
            3,
            padding="same",
            activation="relu",
            kernel_initializer=_initializer(*_HE_NORMAL),
            dtype=dtype,
            name=f"{name}_conv{index}",
        )(x)
    x = keras.layers.Conv2DTranspose(
        channels,
        2,
        strides=2,
        activation="relu",
        kernel_initializer=_initializer(*last),
        dtype=dtype,
        name=f"{name}_upsample",
    )(x)
    return keras.layers.Conv2D(
        classes,
        1,
        kernel_initializer=_initializer(*last),
        dtype="float32",
        name=f"{name}_logits",
    )(x)


def _initializer(mode: str, scale: float, distribution: str) -> Any:
    return keras.initializers.VarianceScaling(scale, mode, distribution)


@keras.saving.register_keras_serializable(package="keras_convnext")
class MasksOfClasses(keras.layers.Layer):
    """Takes each object's mask of its own class, the mean over several heads.

    Shapes: logits of each head `(batch * objects, h, w, classes)` and classes
    `(batch, objects)` in, probabilities `(batch, objects, h, w)` out, zeros where the
    class is -1.

    Source: arXiv:1703.06870, section 3; the mean as mmdetection 3.3.0 has it.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, logits: list[Any], classes: Any) -> Any:
        _, height, width, _ = ops.shape(logits[0])
        of_class = ops.reshape(ops.maximum(classes, 0), (-1, 1, 1, 1))
        masks = [
            ops.sigmoid(
                ops.take_along_axis(
                    each, ops.broadcast_to(of_class, (*ops.shape(each)[:3], 1)), 3
                )
            )
            for each in logits
        ]
        mean = ops.reshape(
            sum(masks) / len(masks), (-1, classes.shape[1], height, width)
        )
        return ops.where(classes[..., None, None] >= 0, mean, 0.0)

    def compute_output_spec(self, logits: list[Any], classes: Any) -> Any:
        shape = (*classes.shape, *logits[0].shape[1:3])
        return keras.KerasTensor(shape, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        # Keras' own cannot tell how a layer was made whose dtype is a policy.
        return dict(super().get_config())
