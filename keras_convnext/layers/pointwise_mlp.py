"""The inside of a block as one layer, for models that are only run."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_convnext.layers.grn import GlobalResponseNormalization
from keras_convnext.layers.unit_scale import inverse_std


@keras.saving.register_keras_serializable(package="keras_convnext")
class PointwiseMLP(keras.layers.Layer):
    """Norm, expansion, activation, (GRN) and projection of each position's channels.

    `keras_convnext.fold` makes it of a block's layers and puts the norm's affine and
    mean subtraction, GRN's offset and layer scale into the two kernels. The matrix
    products run on `(positions, channels)`: that is the shape in which TensorFlow
    fuses product, bias and GELU into one kernel on CPUs.

    Shapes: `(batch, height, width, channels)` in and out.

    Args:
        hidden: Width between the two matrix products.
        activation: Between them.
        norm: Which deviation the input is divided by, as in `ScaleByInverseStd`.
        epsilon: Added under that root.
        grn_epsilon: That of Global Response Normalization; `None`: there is none.

    Attributes:
        expand_kernel: `(channels, hidden)`, with `expand_bias`.
        project_kernel: `(hidden, channels)`, with `project_bias`.
        grn: The `GlobalResponseNormalization`, or `None`.

    Example:
        >>> import keras_convnext
        >>> model = keras_convnext.create("convnext_atto", classes=10)
        >>> layers = keras_convnext.fold(model).layers
        >>> any(isinstance(x, keras_convnext.layers.PointwiseMLP) for x in layers)
        True
    """

    def __init__(
        self,
        hidden: int,
        activation: Any,
        norm: str = "layer",
        epsilon: float = 1e-6,
        grn_epsilon: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.hidden = hidden
        self.activation = keras.activations.get(activation)
        self.norm = norm
        self.epsilon = float(epsilon)
        self.grn_epsilon = grn_epsilon
        self.grn = None
        if grn_epsilon is not None:
            self.grn = GlobalResponseNormalization(
                epsilon=grn_epsilon, name="grn", dtype=self.dtype_policy
            )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        channels = input_shape[-1]
        shapes = {
            "expand_kernel": (channels, self.hidden),
            "expand_bias": (self.hidden,),
            "project_kernel": (self.hidden, channels),
            "project_bias": (channels,),
        }
        # In the type that they are used in, not converted at every call.
        for name, shape in shapes.items():
            made = self.add_weight(name=name, shape=shape, dtype=self.compute_dtype)
            setattr(self, name, made)
        if self.grn is not None:
            self.grn.build((*input_shape[:-1], self.hidden))

    def call(self, inputs: Any) -> Any:
        shape = ops.shape(inputs)
        x = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        x = x * inverse_std(x, self.norm, self.epsilon)
        x = ops.reshape(ops.cast(x, self.compute_dtype), (-1, inputs.shape[-1]))
        x = self.activation(self._affine(x, self.expand_kernel, self.expand_bias))
        if self.grn is not None:
            image = ops.reshape(x, (*shape[:-1], self.hidden))
            x = ops.reshape(self.grn(image), (-1, self.hidden))
        x = self._affine(x, self.project_kernel, self.project_bias)
        return ops.reshape(x, shape)

    def _affine(self, x: Any, kernel: Any, bias: Any) -> Any:
        product = ops.matmul(x, ops.cast(kernel, self.compute_dtype))
        return ops.add(product, ops.cast(bias, self.compute_dtype))

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "hidden": self.hidden,
            "activation": keras.activations.serialize(self.activation),
            "norm": self.norm,
            "epsilon": self.epsilon,
            "grn_epsilon": self.grn_epsilon,
        }
