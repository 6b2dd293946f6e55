"""Trained models of any kind behind one face: pictures in, probabilities out."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_convnext.preprocessing import IMAGENET, Preprocessing

from .console import Mistake

LABELS = "labels.txt"
PREPROCESSING = ("preprocessing.json", "export.json")
_SAVED_MODEL = "saved_model.pb"


@dataclass(frozen=True)
class Classifier:
    """A model, ready to answer.

    Attributes:
        path: Where it was read from.
        kind: "keras", "saved_model" or "tflite".
        labels: Class names in the order of its outputs.
        preprocessing: How a picture becomes its input.
        notices: What was missing and taken for granted instead, a line each.
        probabilities: Maps float32 pictures `(batch, size_px, size_px, 3)` in 0..255
            to float32 `(batch, classes)`.
    """

    path: Path
    kind: str
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    notices: tuple[str, ...]
    probabilities: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class _Network:
    """What a reader of one kind of file gives."""

    kind: str
    size_px: int | None
    classes: int
    answer: Callable[[np.ndarray], np.ndarray]


def find(named: str) -> Path:
    """Returns what `--model` names, without reading it.

    Args:
        named: A .keras or .tflite file, a SavedModel, the folder of its versions, or
            a folder that holds one of these as training and export leave them.

    Raises:
        Mistake: There is no such model.
    """
    path = Path(named).expanduser()
    if path.is_file() and path.suffix in _READERS:
        return path
    if path.is_dir():
        versions = [
            p for p in path.glob("*/" + _SAVED_MODEL) if p.parent.name.isdigit()
        ]
        versions.sort(key=lambda p: int(p.parent.name))
        if (path / _SAVED_MODEL).is_file():
            return path
        if versions:
            return versions[-1].parent
        if (path / "model.keras").is_file():
            return path / "model.keras"
        if (path / "saved_model").is_dir():
            return find(str(path / "saved_model"))
    what = "there is nothing there" if not path.exists() else "that is none of them"
    raise Mistake(
        f"--model={named} must be a .keras file, a .tflite file or a SavedModel "
        f"folder; {what}"
    )


def load(path: Path) -> Classifier:
    """Reads a model that `find` has found, and what lies beside it.

    Raises:
        Mistake: It cannot be read, or is no picture classifier, or its labels or its
            preprocessing do not fit it.
    """
    reader = _READERS["" if path.is_dir() else path.suffix]
    try:
        network = reader(path)
    except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0][:200]
        raise Mistake(f"{path} cannot be read as a model: {reason}") from error
    notices: list[str] = []
    labels = _labels(path, network.classes, notices)
    preprocessing = _preprocessing(path, network.size_px, notices)

    def probabilities(images: np.ndarray) -> np.ndarray:
        return _as_probabilities(network.answer(images))

    return Classifier(
        path, network.kind, labels, preprocessing, tuple(notices), probabilities
    )


def _as_probabilities(scores: np.ndarray) -> np.ndarray:
    """Returns rows that sum to one; logits go through softmax."""
    scores = scores.astype(np.float32)
    # Integer models are off by up to a step of 1/256 in every class.
    tolerance = 0.02 + scores.shape[-1] / 256
    sums = scores.sum(axis=-1)
    if scores.min(initial=0.0) >= 0 and np.all(np.abs(sums - 1) < tolerance):
        return scores
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _read_keras(path: Path) -> _Network:
    import keras
    import tensorflow as tf

    import keras_convnext  # noqa: F401  (its layers have to be known to Keras)

    model = keras.saving.load_model(path, compile=False)
    _, height, width, channels = model.input_shape
    if height != width or channels != 3 or len(model.output_shape) != 2:
        raise ValueError(f"it maps {model.input_shape} to {model.output_shape}")
    # Much faster than `model.predict` for a picture or two.
    forward = tf.function(lambda images: model(images, training=False))
    return _Network(
        "keras",
        height,
        model.output_shape[-1],
        lambda images: forward(tf.constant(images, tf.float32)).numpy(),
    )


def _read_saved_model(path: Path) -> _Network:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    if "tensors" not in loaded.signatures:
        raise ValueError("it has no signature called tensors")
    signature = loaded.signatures["tensors"]
    [(name, spec)] = signature.structured_input_signature[1].items()

    def answer(images: np.ndarray) -> np.ndarray:
        # By way of `loaded`: a signature alone does not keep its variables alive.
        tensors = {name: tf.constant(images, tf.float32)}
        return loaded.signatures["tensors"](**tensors)["probabilities"].numpy()

    classes = signature.structured_outputs["probabilities"].shape[-1]
    return _Network("saved_model", spec.shape[1], classes, answer)


def _read_tflite(path: Path) -> _Network:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    [given] = interpreter.get_input_details()
    made = interpreter.get_output_details()[0]
    shape, classes = given["shape"], int(made["shape"][-1])
    if len(shape) != 4 or shape[0] != 1 or len(made["shape"]) != 2:
        raise ValueError(f"it maps {tuple(shape)} to {tuple(made['shape'])}")

    def answer(images: np.ndarray) -> np.ndarray:
        rows = []
        for image in images:
            interpreter.set_tensor(given["index"], _quantized(image[None], given))
            interpreter.invoke()
            rows.append(_dequantized(interpreter.get_tensor(made["index"]), made))
        return np.concatenate(rows)

    return _Network("tflite", int(shape[1]), classes, answer)


def _quantized(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """Returns real values as a TFLite tensor holds them."""
    dtype = details["dtype"]
    if np.issubdtype(dtype, np.floating):
        return values.astype(dtype)
    scale, zero = details["quantization"]
    limits = np.iinfo(dtype)
    steps = np.round(values / (scale or 1.0) + zero)
    return np.clip(steps, limits.min, limits.max).astype(dtype)


def _dequantized(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """Returns the real values that a TFLite tensor stands for."""
    if np.issubdtype(values.dtype, np.floating):
        return values.astype(np.float32)
    scale, zero = details["quantization"]
    return (values.astype(np.float32) - zero) * (scale or 1.0)


_READERS = {
    ".keras": _read_keras,
    ".tflite": _read_tflite,
    "": _read_saved_model,
}


def _folders(path: Path) -> Iterator[Path]:
    """Yields where labels and preprocessing may lie, the nearest first."""
    if path.is_dir():
        # <export>/saved_model/<version>/assets
        yield path / "assets"
        yield path.parent.parent
    yield path.parent


def _labels(path: Path, classes: int, notices: list[str]) -> tuple[str, ...]:
    names = _packed_labels(path)
    origin = f"{path}/{LABELS}"
    for folder in _folders(path):
        if names is None and (folder / LABELS).is_file():
            origin = str(folder / LABELS)
            names = (folder / LABELS).read_text(encoding="utf-8").splitlines()
    if names is None:
        notices.append(f"no {LABELS} with {path}: classes are told by number")
        return tuple(f"class {number}" for number in range(classes))
    if len(names) != classes:
        raise Mistake(
            f"{origin} names {len(names)} classes, but {path} has {classes} outputs"
        )
    return tuple(names)


def _packed_labels(path: Path) -> list[str] | None:
    """Returns the class names that a file carries inside, if it does."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        if LABELS not in archive.namelist():
            return None
        return archive.read(LABELS).decode("utf-8").splitlines()


def _preprocessing(
    path: Path, size_px: int | None, notices: list[str]
) -> Preprocessing:
    for folder in _folders(path):
        for name in PREPROCESSING:
            if (folder / name).is_file():
                found = _read_preprocessing(folder / name)
                if found is not None:
                    return _fitting(found, folder / name, size_px)
    assumed = Preprocessing(size_px=size_px or IMAGENET.size_px)
    notices.append(
        f"no {PREPROCESSING[0]} with {path}: taking ImageNet's at {assumed.size_px} px"
    )
    return assumed


def _read_preprocessing(file: Path) -> Preprocessing | None:
    """Reads the record itself, or the one inside an export's manifest."""
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        if file.name != PREPROCESSING[0]:
            fields = fields.get("preprocessing")
        if fields is None:
            return None
        for name in ("mean", "std"):
            fields[name] = tuple(fields[name])
        return Preprocessing(**fields)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Mistake(f"{file} holds no preprocessing: {error}") from error


def _fitting(found: Preprocessing, file: Path, size_px: int | None) -> Preprocessing:
    if size_px not in (None, found.size_px):
        raise Mistake(
            f"{file} makes pictures of {found.size_px} px, but the model takes "
            f"{size_px} px"
        )
    return found
