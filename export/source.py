"""What is exported: a Keras model, its class names and its preprocessing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_convnext.preprocessing import IMAGENET, Preprocessing

from .console import Mistake

LABELS_NAME = "labels.txt"
PREPROCESSING_NAME = "preprocessing.json"


@dataclass(frozen=True)
class Source:
    """A model and what belongs to it.

    Attributes:
        name: Of the model's file, or of the published checkpoint.
        model: The `keras.Model`.
        labels: The class names, in the order of the model's outputs.
        preprocessing: How a picture becomes the model's input.
        sha256: Of the file, or of a checkpoint's weights one after another, in
            hexadecimal digits.
        licence: Of the weights, where a publisher states one.
        notices: What was missing and assumed instead, a line each.
    """

    name: str
    model: Any
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    sha256: str
    licence: str | None = None
    notices: tuple[str, ...] = ()


def load(path: Path) -> Source:
    """Reads a model and what lies beside it.

    Args:
        path: What `model_file.find` returned.

    Raises:
        Mistake: The model cannot be read or is no picture classifier, or what lies
            beside it does not fit it.
    """
    import keras

    import keras_convnext  # noqa: F401  (its layers have to be known to Keras)

    try:
        model = keras.saving.load_model(path, compile=False)
    except (ValueError, TypeError, KeyError, OSError) as error:
        # Keras ends its messages with the whole configuration.
        reason = str(error).strip().partition("\n")[0][:300]
        raise Mistake(f"{path} cannot be read by Keras: {reason}") from error
    side_px, classes = _shapes(path, model)
    notices: list[str] = []
    labels = _labels(path.with_name(LABELS_NAME), classes, notices)
    preprocessing = _preprocessing(path.with_name(PREPROCESSING_NAME), side_px, notices)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Source(
        path.name, model, labels, preprocessing, digest, notices=tuple(notices)
    )


def _shapes(path: Path, model: Any) -> tuple[int | None, int]:
    """Returns the side of the model's input, where fixed, and its class count."""
    problems = []
    given, made = model.input_shape, model.output_shape
    if not isinstance(given, tuple) or len(given) != 4 or given[-1] != 3:
        problems.append(f"its input is {given}, not (batch, height, width, 3)")
    elif given[1] != given[2]:
        problems.append(f"its input is {given[1]} x {given[2]} pixels, not a square")
    if not isinstance(made, tuple) or len(made) != 2 or made[-1] is None:
        problems.append(f"its output is {made}, not (batch, classes)")
    if problems:
        raise Mistake(f"{path} is no picture classifier: {'; '.join(problems)}")
    return given[1], made[-1]


def _labels(path: Path, classes: int, notices: list[str]) -> tuple[str, ...]:
    """Returns the class names, made up where their file is missing."""
    if not path.is_file():
        notices.append(
            f"no {path.name} beside the model: the classes are called class 0 to "
            f"class {classes - 1}"
        )
        return tuple(f"class {index}" for index in range(classes))
    labels = tuple(path.read_text(encoding="utf-8").splitlines())
    if len(labels) != classes:
        raise Mistake(
            f"{path} has {len(labels)} lines, but the model has {classes} classes"
        )
    return labels


def _preprocessing(
    path: Path, side_px: int | None, notices: list[str]
) -> Preprocessing:
    """Returns the preprocessing, ImageNet's where its file is missing."""
    if not path.is_file():
        assumed = dataclasses.replace(IMAGENET, size_px=side_px or IMAGENET.size_px)
        notices.append(
            f"no {path.name} beside the model: assuming ImageNet's at "
            f"{assumed.size_px} px, crop {assumed.crop_fraction}"
        )
        return assumed
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        for name in ("mean", "std"):
            fields[name] = tuple(fields[name])
        preprocessing = Preprocessing(**fields)
    except (ValueError, TypeError, KeyError) as error:
        raise Mistake(f"{path} does not describe a preprocessing: {error}") from error
    if side_px not in (None, preprocessing.size_px):
        raise Mistake(
            f"{path} says {preprocessing.size_px} px, but the model takes {side_px} px"
        )
    return preprocessing
