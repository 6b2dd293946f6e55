"""Whether a model normalizes its images itself, as its graph shows."""

from __future__ import annotations

from typing import Any

import keras

from keras_convnext.inference.graph import Origin, Tensor, outputs_of, trace, walk

# What changes the scale of an image, by class name; a BatchNormalization before any
# kernel takes images on the scale that it was trained on, whichever that is.
_SCALING = {
    "Add",
    "BatchNormalization",
    "Divide",
    "Multiply",
    "Normalization",
    "Rescaling",
    "Subtract",
    "TrueDivide",
}
# What folding makes of blocks, and nothing else.
_FOLDED = "PointwiseMLP"
# What may do anything to an image.
_OPAQUE = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}


def normalizes_images(model: keras.Model) -> bool | None:
    """Returns True if a model takes images in 0..255 and scales them itself.

    What stands between the model's input and its first kernel is looked at, in models
    inside it too: `Rescaling`, `Normalization`, arithmetic as
    `keras.applications` does it in `preprocess_input`.

    Args:
        model: Any Keras model.

    Returns:
        `None` where it cannot be seen: in a subclassed model, behind a `Lambda`, and
        in what `fold` has made, which may have put it into the first kernel.

    Example:
        >>> normalizes_images(keras_convnext.ConvNeXtAtto())
        True
    """
    tensors = outputs_of(model)
    if not tensors:
        return None
    found, kinds = set(), set()
    for origin in (origin for tensor in tensors for origin in walk(tensor)):
        kinds.add(origin.kind)
        if _has_kernel(origin):
            states = {_scaling_before(each) for each in origin.inputs}
            hidden = "raw" in states and _is_opaque(origin.operation)
            found |= {"opaque"} if hidden else states - {"features"}
    if not found or "opaque" in found or ("raw" in found and _FOLDED in kinds):
        return None
    return found == {"scaled"}


def _has_kernel(origin: Origin) -> bool:
    return origin.kind not in _SCALING and bool(
        getattr(origin.operation, "weights", None)
    )


def _scaling_before(tensor: Tensor) -> str:
    """Returns "raw", "scaled", "opaque", or "features" behind a kernel."""
    origin = trace(tensor)
    if origin is None:
        return "raw"
    if _has_kernel(origin):
        return "features"
    states = set()
    for each in origin.inputs:
        states.add(_scaling_before(each))
        if "features" in states:
            return "features"
    if _is_opaque(origin.operation) or "opaque" in states:
        return "opaque"
    return "scaled" if origin.kind in _SCALING or "scaled" in states else "raw"


def _is_opaque(operation: Any) -> bool:
    """Returns True if an operation is neither Keras' own nor this library's."""
    known = type(operation).__module__.partition(".")[0] in ("keras", "keras_convnext")
    return not known or type(operation).__name__ in _OPAQUE
