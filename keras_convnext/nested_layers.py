"""The layers of a Keras model, those inside of other layers included."""

from __future__ import annotations

import keras


def layers_by_name(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """Returns every layer of `model` by its name, nested ones included.

    Layers that hold others (models, `Rematerialized`, wrappers) are in it too.

    Args:
        model: Any Keras model.

    Example:
        >>> import keras_convnext
        >>> from keras_convnext.models import layers_by_name
        >>> model = keras_convnext.create("convnext_atto", remat=True)
        >>> layers_by_name(model)["stage0_block0_dwconv"].kernel_size
        (7, 7)
    """
    found: dict[str, keras.layers.Layer] = {}
    waiting = list(model.layers)
    while waiting:
        layer = waiting.pop(0)
        found[layer.name] = layer
        waiting += getattr(layer, "layers", [])
    return found
