"""What the numbers that a model answers with mean: told, recorded, or in its graph."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from keras_convnext.inference.dense_outputs import finds_objects, labels_pixels
from keras_convnext.inference.graph import Origin, Tensor, outputs_of, trace

OUTPUTS = ("logits", "probabilities", "sigmoid", "number", "features")
# The last layer of this project's own models that answer with a number.
NUMBER_LAYER = "head_number"

Kind = Literal["softmax", "sigmoid", "number", "features", "label_map", "objects"]

_ASK = (
    "say what they are with --output=logits, probabilities, sigmoid, number or features"
)

# What leaves every number as it is or resizes maps of them, by class name.
_UNCHANGED = {
    "ActivityRegularization",
    "AlphaDropout",
    "Cast",
    "Copy",
    "Dropout",
    "ExpandDims",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "Identity",
    "Reshape",
    "ResizeLike",
    "Resizing",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "Squeeze",
    "StopGradient",
    "UpSampling2D",
}
# Means of distributions are distributions, means of logits are logits.
_AVERAGES = {"Average", "GlobalAveragePooling1D", "GlobalAveragePooling2D", "Mean"}
_LINEAR = {
    "Add",
    "BatchNormalization",
    "Conv1D",
    "Conv2D",
    "Dense",
    "Divide",
    "Einsum",
    "EinsumDense",
    "GlobalMaxPooling2D",
    "LayerNormalization",
    "LayerScale",
    "Matmul",
    "Multiply",
    "Rescaling",
    "Subtract",
    "TrueDivide",
}
_FUNCTIONS = {
    "LogSoftmax": "log_softmax",
    "Sigmoid": "sigmoid",
    "Softmax": "softmax",
}
# Losses by their names in lower case without underscores, and what they are for.
_LOSSES: dict[str, Kind] = {
    "binarycrossentropy": "sigmoid",
    "binaryfocalcrossentropy": "sigmoid",
    "categoricalcrossentropy": "softmax",
    "categoricalfocalcrossentropy": "softmax",
    "sparsecategoricalcrossentropy": "softmax",
}
_LOSS_ALIASES = {"bce": "binarycrossentropy"}


@dataclass(frozen=True)
class OutputMeaning:
    """What a model's outputs are.

    Attributes:
        kind: "softmax": probabilities of classes of which an image has one;
            "sigmoid": the probability of each label by itself, or of the second of two
            classes; "number": a number in its own unit; "features": no classes at all;
            "label_map": probabilities of classes of which each pixel has one;
            "objects": boxes, scores and classes of objects.
        applied: Whether the model itself computes that activation; otherwise its
            outputs are logits.
        origin: How it is known, for people: "its graph ends in a softmax".
    """

    kind: Kind
    applied: bool
    origin: str

    @property
    def activation(self) -> Literal["softmax", "sigmoid"] | None:
        """The activation that is still to be applied to get probabilities."""
        if self.applied or self.kind in ("features", "number"):
            return None
        return "sigmoid" if self.kind == "sigmoid" else "softmax"


def find_output_meaning(
    model: keras.Model, *, loss: Any = None, told: str | None = None
) -> OutputMeaning:
    """Returns the meaning of a model's outputs.

    What is told counts first, then the graph, and for linear outputs the loss that the
    model was trained with. Linear outputs of this library's own classifier
    (`head_dense`) without a loss are logits of a softmax.

    Args:
        model: A model with one output `(batch, classes)`, or `(batch, height, width,
            classes)` of its images' size, or with the outputs of a detector.
        loss: The loss as a .keras file records it (`read_recorded_loss`); that of the
            compiled model unless given.
        told: One of `OUTPUTS`, or `None`.

    Returns:
        The meaning.

    Raises:
        ValueError: It stays open, or what is told contradicts the graph; one line that
            says what to do.

    Example:
        >>> find_output_meaning(keras_convnext.ConvNeXtAtto()).kind
        'softmax'
    """
    if told is not None and told not in OUTPUTS:
        raise ValueError(f"--output={told} is none of {', '.join(OUTPUTS)}")
    if told == "features":
        return OutputMeaning("features", True, "--output=features")
    if labels_pixels(model):
        return _of_pixels(model)
    if finds_objects(model):
        return OutputMeaning("objects", True, "by the names of its outputs")
    classes = _count_classes(model)
    ending = _find_ending(model)
    if ending == "softmax" and classes == 1:
        raise ValueError(
            "its graph ends in a softmax over one output, which is 1 for every image: "
            "the last layer needs activation='sigmoid', or two outputs"
        )
    if told is not None:
        return _as_told(told, ending, classes)
    loss = read_compiled_loss(model) if loss is None else loss
    return _by_graph_and_loss(model, ending, classes, loss)


def _of_pixels(model: keras.Model) -> OutputMeaning:
    ending = _find_ending(model)
    if model.outputs[0].shape[-1] == 1:
        raise ValueError(
            "its output has one channel, but a label map needs a channel for each "
            "class: two classes are a softmax over two channels"
        )
    is_softmax = ending == "softmax"
    what = f"ends in a {ending}" if is_softmax else "gives logits"
    return OutputMeaning("label_map", is_softmax, f"its graph {what} for each pixel")


def _count_classes(model: keras.Model) -> int:
    outputs = getattr(model, "outputs", None) or []
    if len(outputs) > 1:
        names = getattr(model, "output_names", None) or range(len(outputs))
        told = ", ".join(str(name) for name in names)
        raise ValueError(
            f"it has {len(outputs)} outputs ({told}): choose one of them with "
            "keras.Model(model.input, model.outputs[0]) and save that"
        )
    if not outputs:
        raise ValueError(
            "its outputs cannot be seen, because it is a subclassed model: call it on "
            "inputs = keras.Input(...) and save keras.Model(inputs, model(inputs))"
        )
    shape = tuple(outputs[0].shape)
    if len(shape) != 2 or shape[-1] is None:
        raise ValueError(f"its output is {shape}, not (batch, classes)")
    return int(shape[-1])


def _as_told(told: str, ending: str, classes: int) -> OutputMeaning:
    origin = f"--output={told}"
    applied = ending in ("softmax", "sigmoid")
    if told == "logits" and not applied:
        return OutputMeaning("sigmoid" if classes == 1 else "softmax", False, origin)
    if told == "probabilities" and ending != "linear":
        return OutputMeaning("sigmoid" if classes == 1 else "softmax", True, origin)
    if told == "number" and ending == "linear" and classes == 1:
        return OutputMeaning("number", True, origin)
    if told == "sigmoid" and ending != "softmax":
        return OutputMeaning("sigmoid", ending != "linear", origin)
    what = "is linear" if ending == "linear" else f"ends in a {ending}"
    if told == "number" and classes > 1:
        what = f"has {classes} outputs"
    raise ValueError(f"{origin} contradicts the model, whose graph {what}")


def _by_graph_and_loss(
    model: keras.Model, ending: str, classes: int, loss: Any
) -> OutputMeaning:
    name, from_logits = _describe_loss(loss)
    trained_for = _LOSSES.get(_plain(name))
    if ending == "log_softmax":
        # The softmax of log-probabilities is the probabilities.
        return OutputMeaning("softmax", False, "its graph ends in a log_softmax")
    if ending in ("softmax", "sigmoid"):
        if ending == "sigmoid" and trained_for == "softmax" and classes > 1:
            return OutputMeaning("softmax", True, f"it was trained by {name}")
        return OutputMeaning(ending, True, f"its graph ends in a {ending}")  # type: ignore[arg-type]
    if ending == "linear" and classes == 1 and _ends_in(model, NUMBER_LAYER):
        return OutputMeaning("number", True, f"its {NUMBER_LAYER} gives a number")
    if ending == "linear" and name:
        return _by_loss(name, from_logits, trained_for, classes)
    if ending == "linear" and classes > 1 and _ends_in(model, "head_dense"):
        return OutputMeaning("softmax", False, "its head_dense gives logits")
    if ending != "linear" and classes > 1 and _answers_sum_to_one(model):
        return OutputMeaning("softmax", True, "its answers to noise add up to one")
    outputs = "its output" if classes == 1 else f"its {classes} outputs"
    verb = "is" if classes == 1 else "are"
    if ending == "linear":
        raise ValueError(
            f"{outputs} {verb} linear and no loss is recorded: logits of classes, of "
            f"labels, or plain numbers? {_ASK}"
        )
    raise ValueError(f"{outputs} {verb} made by {ending}: {_ASK}")


def _by_loss(
    name: str, from_logits: bool, trained_for: Kind | None, classes: int
) -> OutputMeaning:
    if trained_for is None:
        raise ValueError(
            f"its outputs are linear and were trained by {name}, which does not tell "
            f"classes: {_ASK}"
        )
    if not from_logits:
        raise ValueError(
            f"its outputs are linear, but its loss {name} takes them for probabilities "
            f"(from_logits is not set): {_ASK}"
        )
    if trained_for == "softmax" and classes == 1:
        raise ValueError(
            f"it has one output and was trained by {name}, which needs one a class: "
            f"{_ASK}"
        )
    return OutputMeaning(trained_for, False, f"its loss is {name}(from_logits=True)")


def _find_ending(model: keras.Model) -> str:
    """Returns "softmax", "sigmoid", "log_softmax", "linear", or what is in the way."""
    tensors = outputs_of(model)
    return _ending_of(tensors[0]) if tensors else f"the model {type(model).__name__}"


def _ending_of(tensor: Tensor) -> str:
    origin = trace(tensor)
    if origin is None:
        return "nothing but the input"
    name = _activation_of(origin)
    if name != "linear":
        return name
    if origin.kind in _UNCHANGED or origin.kind == "Activation":
        return _ending_of(origin.inputs[0])
    endings = {_ending_of(each) for each in origin.inputs} if origin.inputs else set()
    if origin.kind in _AVERAGES and len(endings) == 1:
        return endings.pop()
    if origin.kind not in _LINEAR | _AVERAGES:
        return f"the layer {origin.operation.name} ({origin.kind})"
    has_weights = bool(getattr(origin.operation, "weights", None))
    if has_weights or endings == {"linear"}:
        return "linear"
    return f"the layer {origin.operation.name} ({origin.kind})"


def _activation_of(origin: Origin) -> str:
    """Returns the name of the activation that an operation applies last."""
    if origin.kind == "Softmax":
        axis = getattr(origin.operation, "axis", -1)
        last = len(origin.inputs[0].symbol.shape) - 1
        return "softmax" if axis in (-1, last) else f"a softmax over axis {axis}"
    if origin.kind in _FUNCTIONS:
        return _FUNCTIONS[origin.kind]
    activation = getattr(origin.operation, "activation", None)
    if activation is None:
        return "linear"
    return getattr(activation, "__name__", type(activation).__name__).lower()


def _ends_in(model: keras.Model, layer: str) -> bool:
    origin = trace(outputs_of(model)[0])
    return origin is not None and origin.operation.name == layer


def _answers_sum_to_one(model: keras.Model) -> bool:
    """Returns True if noise is answered with distributions, as nothing linear does."""
    side = [each or 64 for each in model.inputs[0].shape[1:3]]
    shape = (4, *side, model.inputs[0].shape[-1] or 3)
    noise = np.random.default_rng(0).uniform(0, 255, shape).astype("float32")
    answers = np.asarray(keras.ops.convert_to_numpy(model(noise, training=False)))
    answers = answers.astype("float64")
    # Probabilities in half precision are off by up to 2**-9 each.
    sums_to_one = np.abs(answers.sum(axis=-1) - 1) < 2**-9 * answers.shape[-1]
    return bool(answers.min() >= 0 and np.all(sums_to_one))


def read_recorded_loss(path: str | Path) -> Any:
    """Returns the loss that a .keras file records, as its configuration has it.

    Args:
        path: A .keras file.

    Returns:
        A name, or a mapping with "class_name" and "config"; `None` where the model was
        saved without having been compiled.
    """
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    return _only_loss((config.get("compile_config") or {}).get("loss"))


def read_compiled_loss(model: keras.Model) -> Any:
    """Returns the loss that a model was compiled with, or `None`.

    Args:
        model: Any Keras model.
    """
    config = model.get_compile_config() if model.compiled else None
    return _only_loss((config or {}).get("loss"))


def _only_loss(loss: Any) -> Any:
    """Returns the loss of a model with one output, however it was given."""
    if isinstance(loss, list | tuple):
        return loss[0] if len(loss) == 1 else None
    if isinstance(loss, Mapping) and "class_name" not in loss:
        return _only_loss(list(loss.values()))
    return loss


def _describe_loss(loss: Any) -> tuple[str, bool]:
    """Returns a loss's name and whether it takes logits."""
    if isinstance(loss, str):
        return loss, False
    if not isinstance(loss, Mapping):
        return "", False
    config = loss.get("config")
    if isinstance(config, str):
        return config, False
    from_logits = isinstance(config, Mapping) and bool(config.get("from_logits"))
    return str(loss.get("class_name", "")), from_logits


def _plain(name: str) -> str:
    plain = name.lower().replace("_", "")
    return _LOSS_ALIASES.get(plain, plain)
