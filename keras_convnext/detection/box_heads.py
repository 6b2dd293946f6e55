"""Box heads: from the features of a box to its class, and to a better box."""

from __future__ import annotations

from typing import Any

import keras

from keras_convnext.layers import BatchNormalization

# Bins in each direction that a box head reads.
SIZE = 7
UNITS = 1024
# What the differences of boxes are divided by: Mask R-CNN's, and the cascade's stages'.
# Source: mmdetection 3.3.0, configs/_base_/models.
STDS = (
    (0.1, 0.1, 0.2, 0.2),
    (0.05, 0.05, 0.1, 0.1),
    (0.033, 0.033, 0.067, 0.067),
)


def two_dense_head(
    features: Any,
    classes: int,
    *,
    units: int = UNITS,
    dtype: Any = None,
) -> tuple[Any, Any]:
    """Mask R-CNN's box head: two dense layers.

    Args:
        features: `(boxes, 7, 7, channels)`.
        classes: Classes of objects, without the background.
        units: Of the dense layers.
        dtype: Dtype policy of the dense layers; the outputs are float32.

    Returns:
        Logits `(boxes, classes + 1)`, the background last; and `(boxes, 4 * classes)`,
        the differences of the object's box from the box, dx, dy, dw, dh for each class.

    Source: arXiv:1703.06870, figure 4, right.
    """
    x = keras.layers.Flatten(dtype=dtype, name="box_flatten")(features)
    for index in range(2):
        x = _dense(x, units, f"box_fc{index}", dtype)
    return _outputs(x, classes, "box")


def four_conv_head(
    features: Any,
    classes: int,
    stage: int,
    *,
    units: int = UNITS,
    dtype: Any = None,
) -> tuple[Any, Any]:
    """A stage's box head in the ConvNeXt paper's cascade: convolutions, a dense layer.

    Args:
        features: As `two_dense_head`.
        classes: As there.
        stage: 0 to 2; it names the layers.
        units: Of the dense layer.
        dtype: As there.

    Returns:
        As `two_dense_head`.

    Source: arXiv:1803.08494, section 4.1; arXiv:2201.03545, appendix A.3.
    """
    x = features
    for index in range(4):
        x = keras.layers.Conv2D(
            features.shape[-1],
            3,
            padding="same",
            use_bias=False,
            kernel_initializer=keras.initializers.VarianceScaling(
                2.0, "fan_out", "untruncated_normal"
            ),
            dtype=dtype,
            name=f"box{stage}_conv{index}",
        )(x)
        # torch's momentum 0.1 and epsilon; Keras' are 0.99 and 1e-3.
        x = BatchNormalization(
            momentum=0.9, epsilon=1e-5, dtype=dtype, name=f"box{stage}_norm{index}"
        )(x)
        x = keras.layers.ReLU(dtype=dtype, name=f"box{stage}_relu{index}")(x)
    x = keras.layers.Flatten(dtype=dtype, name=f"box{stage}_flatten")(x)
    x = _dense(x, units, f"box{stage}_fc0", dtype)
    return _outputs(x, classes, f"box{stage}")


def _dense(x: Any, units: int, name: str, dtype: Any) -> Any:
    return keras.layers.Dense(units, activation="relu", dtype=dtype, name=name)(x)


def _outputs(x: Any, classes: int, name: str) -> tuple[Any, Any]:
    def dense(units: int, stddev: float, suffix: str) -> Any:
        return keras.layers.Dense(
            units,
            kernel_initializer=keras.initializers.RandomNormal(stddev=stddev),
            dtype="float32",
            name=f"{name}_{suffix}",
        )(x)

    return dense(classes + 1, 0.01, "logits"), dense(4 * classes, 0.001, "deltas")
