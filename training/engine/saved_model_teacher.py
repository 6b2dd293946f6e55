"""A SavedModel as a teacher of logits: an export of this project, or another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_convnext.inference.sidecars import (
    find_labels,
    find_preprocessing,
)
from keras_convnext.preprocessing import IMAGENET

from ..tasks.losses import log_probabilities
from .teacher_view import (
    HOW_TO_TELL,
    TeacherNetwork,
    of_preprocessing,
    say_briefly,
)

# This project's exports take images in 0..255 there and give probabilities.
_OWN, _OWN_OUTPUT = "tensors", "probabilities"
_USUAL = "serving_default"
# What float32 sums of probabilities are off by, at most.
_NEAR_ONE = 1e-3


def load(path: Path) -> tuple[TeacherNetwork, tuple[str, ...], bool]:
    """Returns the network of a SavedModel, its class names, and whether it names them.

    To be called outside of a strategy's scope, in which TensorFlow reads a SavedModel
    as one that is either asked on replicas or across them.

    Its outputs are taken for probabilities where its answers to noise are none
    negative and add up to one, and else for logits.

    Args:
        path: Its folder.

    Raises:
        ValueError: TensorFlow does not run here, it has no signature that maps images
            to scores, or how it sees images is not known; one line.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "it is a SavedModel, which TensorFlow alone runs: unset KERAS_BACKEND, or "
            "give the .keras file that it was made of"
        )
    endpoint, (shape, dtype), (output, classes) = _find_signature(path)
    layer = keras.layers.TFSMLayer(str(path), call_endpoint=endpoint)
    is_own = endpoint == _OWN
    seen = find_preprocessing(path, shape[1], needs_normalization=not is_own)
    if seen is None and not is_own:
        raise ValueError(f"it does not tell how it normalizes images: {HOW_TO_TELL}")
    seen = seen or IMAGENET
    size_px = shape[1] or seen.size_px
    images = keras.Input((size_px, size_px, 3), dtype="float32")
    scores = ops.cast(layer(ops.cast(images, dtype))[output], "float32")
    model = keras.Model(images, scores)
    if is_own or _gives_probabilities(model):
        model = keras.Model(images, log_probabilities(scores))
    labels, notices = find_labels(path, classes)
    is_named = not any("class 0" in notice for notice in notices)
    return of_preprocessing(model, size_px, seen, is_own), labels, is_named


def _find_signature(path: Path) -> tuple[str, tuple[Any, str], tuple[str, int]]:
    """Returns a signature's name, its input's shape and type, its output and classes.

    Raises:
        ValueError: It cannot be read, or none maps one image to scores; one line.
    """
    import tensorflow as tf

    try:
        signatures = tf.saved_model.load(str(path)).signatures
    # Files cut short end in IndexError, TensorFlow's own errors and others.
    except Exception as error:
        raise ValueError(f"TensorFlow cannot read it: {say_briefly(error)}") from error
    told = []
    for called in (_OWN, _USUAL):
        if called not in signatures:
            continue
        inputs = signatures[called].structured_input_signature[1]
        outputs = signatures[called].structured_outputs
        told.append(f"{called} from {_list(inputs)} to {_list(outputs)}")
        if len(inputs) != 1 or (called != _OWN and len(outputs) != 1):
            continue
        [given] = inputs.values()
        output = _OWN_OUTPUT if called == _OWN else next(iter(outputs))
        if output not in outputs or not (_is_image(given) and given.dtype.is_floating):
            continue
        made = outputs[output]
        if made.dtype.is_floating and made.shape.rank == 2 and made.shape[1]:
            found = given.shape, given.dtype.name
            return called, found, (output, int(made.shape[1]))
    raise ValueError(
        f"it has no signature {_OWN} or {_USUAL} from float images (batch, size, size, "
        f"3) to scores (batch, classes){': ' * bool(told)}{', '.join(told)}"
    )


def _list(specs: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {spec.dtype.name}{tuple(spec.shape)}" for name, spec in specs.items()
    )


def _is_image(spec: Any) -> bool:
    shape = spec.shape
    is_square = shape.rank == 4 and shape[3] == 3 and shape[1] == shape[2]
    return bool(is_square and shape[0] is None)


def _gives_probabilities(model: keras.Model) -> bool:
    shape = (4, *model.input_shape[1:])
    noise = np.random.default_rng(0).normal(size=shape).astype("float32")
    answers = np.asarray(model(noise), "float64")
    sums = answers.sum(axis=1)
    return bool(answers.min() >= 0 and np.all(np.abs(sums - 1) < _NEAR_ONE))
