"""Trained models of any kind behind one face: pictures in, probabilities out."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import keras_convnext
from keras_convnext import weights
from keras_convnext.labels import class_names
from keras_convnext.preprocessing import IMAGENET, Preprocessing

from .console import Mistake
from .model_readers import READERS, keras_answer

LABELS = "labels.txt"
PREPROCESSING = ("preprocessing.json", "export.json")
_SAVED_MODEL = "saved_model.pb"


@dataclass(frozen=True)
class Classifier:
    """A model, ready to answer.

    Attributes:
        name: What it was asked for as, or the file that was found.
        kind: "keras", "saved_model", "tflite" or "checkpoint".
        labels: Class names in the order of its outputs.
        preprocessing: How a picture becomes its input.
        notices: What was missing and taken for granted instead, a line each.
        probabilities: Maps float32 pictures `(batch, size_px, size_px, 3)` in 0..255
            to float32 `(batch, classes)`.
        synsets: WordNet ids of the classes, where it is ImageNet's.
        model: The `keras.Model`, where it is one.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    notices: tuple[str, ...]
    probabilities: Callable[[np.ndarray], np.ndarray]
    synsets: tuple[str, ...] = ()
    model: Any = None


def open_model(named: str) -> Classifier:
    """Returns the model that `--model` names.

    Args:
        named: A file or a folder as `find` takes it, or a published checkpoint
            ("convnext_tiny.fb_in1k"), which is downloaded where it is not yet.

    Raises:
        Mistake: There is no such model, or it is no picture classifier.
    """
    record = None if Path(named).expanduser().exists() else _record(named)
    return load(find(named)) if record is None else _published(record)


def _record(named: str) -> weights.Record | None:
    """Returns the published checkpoint of that name, None if there is none."""
    try:
        return weights.find(named)
    except ValueError:
        return None


def _published(record: weights.Record) -> Classifier:
    named = record.name
    if not record.classes or record.classifier_activation is None:
        raise Mistake(f"--model={named} has no classifier: it gives features only")
    try:
        model = keras_convnext.create(named)
    except (OSError, ValueError) as error:
        raise Mistake(f"--model={named} cannot be loaded: {error}") from error
    synsets, names = zip(*class_names(record.classes), strict=True)
    answer = keras_answer(model)
    return Classifier(
        named,
        "checkpoint",
        names,
        record.preprocessing,
        (),
        lambda images: _as_probabilities(answer(images)),
        synsets,
        model,
    )


def find(named: str) -> Path:
    """Returns what `--model` names, without reading it.

    Args:
        named: A .keras or .tflite file, a SavedModel, the folder of its versions, or
            a folder that holds one of these as training and export leave them.

    Raises:
        Mistake: There is no such model.
    """
    path = Path(named).expanduser()
    if path.is_file() and path.suffix in READERS:
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
        f"--model={named} must be a .keras file, a .tflite file, a SavedModel "
        f"folder or a published checkpoint; {what}"
    )


def load(path: Path) -> Classifier:
    """Reads a model that `find` has found, and what lies beside it.

    Raises:
        Mistake: It cannot be read, or is no picture classifier, or its labels or its
            preprocessing do not fit it.
    """
    reader = READERS["" if path.is_dir() else path.suffix]
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
        str(path),
        network.kind,
        labels,
        preprocessing,
        tuple(notices),
        probabilities,
        model=network.model,
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
                found = read_preprocessing(folder / name)
                if found is not None:
                    return _fitting(found, folder / name, size_px)
    assumed = Preprocessing(size_px=size_px or IMAGENET.size_px)
    notices.append(
        f"no {PREPROCESSING[0]} with {path}: taking ImageNet's at {assumed.size_px} px"
    )
    return assumed


def read_preprocessing(file: Path) -> Preprocessing | None:
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
