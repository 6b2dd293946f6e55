"""Finds out what a trained model is, and makes it ready to answer."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from keras_convnext import weights
from keras_convnext.detection.checkpoints import list_detectors
from keras_convnext.inference import classifier, detector, regressor, segmenter
from keras_convnext.inference.classifier import Classifier
from keras_convnext.inference.detector import Detector
from keras_convnext.inference.loaded_model import (
    WEIGHTS_ENDINGS,
    LoadedModel,
    load_model_file,
    load_published,
)
from keras_convnext.inference.outputs import Kind
from keras_convnext.inference.readers import (
    ExportedModel,
    read_saved_model,
    read_tflite,
)
from keras_convnext.inference.regressor import Regressor
from keras_convnext.inference.segmenter import Segmenter
from keras_convnext.segmentation import list_upernets

_SAVED_MODEL = "saved_model.pb"
_READERS = {"": read_saved_model, ".tflite": read_tflite}
Answering = Classifier | Regressor | Segmenter | Detector
# What answers, by the meaning of a Keras model's outputs, and by an export's output.
_FROM_KERAS: dict[Kind, Callable[[LoadedModel, str], Answering]] = {
    "softmax": classifier.from_keras,
    "sigmoid": classifier.from_keras,
    "number": regressor.from_keras,
    "features": classifier.from_keras,
    "label_map": segmenter.from_keras,
    "objects": detector.from_keras,
}
_FROM_EXPORT: dict[str, Callable[[Path, ExportedModel], Answering]] = {
    "probabilities": classifier.from_export,
    "number": regressor.from_export,
    "classes": segmenter.from_export,
    "boxes": detector.from_export,
}


def load(
    source: str | os.PathLike[str],
    *,
    output: str | None = None,
    normalization: str | None = None,
) -> Answering:
    """Returns a trained model that answers for images.

    A classifier answers with names and scores, a regression model with numbers, a
    segmentation model with label maps, a detector with `Objects`.

    Args:
        source: A .keras or .tflite file, a SavedModel, a folder as training or export
            leave it, a file of weights of a known variant, or a published checkpoint
            ("convnext_tiny.fb_in1k"), which is downloaded where it is not yet.
        output: What a .keras file's outputs are, where its graph and its loss do not
            tell: "logits", "probabilities", "sigmoid" or "number".
        normalization: What it expects of images where it does not normalize them
            itself and no preprocessing.json says it: "imagenet", "unit" (0..1),
            "symmetric" (-1..1) or "none" (0..255).

    Raises:
        FileNotFoundError: There is no such model.
        ValueError: It is neither, what its numbers mean stays open, or what lies beside
            it does not fit; one line.
        OSError: It cannot be fetched.

    Example:
        >>> import os
        >>> from pathlib import Path
        >>> import numpy as np
        >>> import keras_convnext
        >>> model = keras_convnext.create("convnext_atto", classes=2)
        >>> model.save("pets.keras")
        >>> _ = Path("labels.txt").write_text("cat" + os.linesep + "dog")
        >>> pets = keras_convnext.load("pets.keras")
        >>> sorted(name for name, score in pets(np.zeros((99, 80, 3), "uint8")))
        ['cat', 'dog']
    """
    named = os.fspath(source)
    if not Path(named).expanduser().exists() and _is_published(named):
        return _from_keras(load_published(named), "checkpoint")
    path = find_model(named)
    if path.suffix in (".keras", *WEIGHTS_ENDINGS):
        loaded = load_model_file(path, output=output, normalization=normalization)
        return _from_keras(loaded, "keras")
    if output or normalization:
        raise ValueError(
            f"{path} is an exported file, which normalizes images and gives "
            "probabilities by itself: leave out what its output or normalization is"
        )
    exported = _read_export(path)
    return _FROM_EXPORT[exported.output](path, exported)


def _from_keras(loaded: LoadedModel, kind: str) -> Answering:
    return _FROM_KERAS[loaded.meaning.kind](loaded, kind)


def _is_published(named: str) -> bool:
    try:
        weights.find(named)
    except ValueError:
        return named in (*list_upernets(), *list_detectors())
    return True


def find_model(named: str) -> Path:
    """Returns the file, or the SavedModel's folder, that a name stands for.

    Args:
        named: A .keras or .tflite file, a SavedModel, the folder of its versions, or
            a folder that holds one of these as training and export leave them.

    Raises:
        FileNotFoundError: There is nothing there.
        ValueError: What is there is no model.
    """
    path = Path(named).expanduser()
    if path.is_file() and path.suffix in (".keras", ".tflite", *WEIGHTS_ENDINGS):
        return path
    if path.is_dir() and (found := _find_in_folder(path)):
        return found
    wanted = (
        "a model is a .keras file, a .tflite file, a SavedModel, a folder with one of "
        "these, a file of weights, or a published checkpoint"
    )
    if not path.exists():
        raise FileNotFoundError(f"there is nothing at {named}: {wanted}")
    if (path / "recipe.json").is_file():
        raise ValueError(f"the run in {named} has not finished: it has no model yet")
    raise ValueError(f"{named} is none of them: {wanted}")


def _find_in_folder(path: Path) -> Path | None:
    if (path / _SAVED_MODEL).is_file():
        return path
    versions = [p for p in path.glob("*/" + _SAVED_MODEL) if p.parent.name.isdecimal()]
    if versions:
        return max(versions, key=lambda p: int(p.parent.name)).parent
    if (path / "model.keras").is_file():
        return path / "model.keras"
    if (path / "saved_model").is_dir():
        return _find_in_folder(path / "saved_model")
    files = sorted(path.glob("*.tflite"))
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise ValueError(f"{path} holds several models ({names}): name one of them")
    return files[0] if files else None


def _read_export(path: Path) -> ExportedModel:
    try:
        return _READERS["" if path.is_dir() else path.suffix](path)
    # TensorFlow and LiteRT let through whatever they raise.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0][:200]
        raise ValueError(f"{path} cannot be read as a model: {reason}") from error
