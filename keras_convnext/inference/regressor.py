"""Models that answer with a number, behind one face: images in, numbers out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_convnext.inference.classifier import compile_forward, normalize_first
from keras_convnext.inference.images import is_one_image, view_image
from keras_convnext.inference.loaded_model import LoadedModel, find_beside_export
from keras_convnext.inference.outputs import OutputMeaning
from keras_convnext.inference.readers import ExportedModel
from keras_convnext.preprocessing import KERAS_LOADER, Preprocessing

_AT_ONCE = 32


@dataclass(frozen=True)
class Regressor:
    """A model that answers with a number. Call it with an image or several.

    Attributes:
        name: The file that was found.
        kind: "keras", "saved_model" or "tflite".
        preprocessing: How an image becomes its input.
        meaning: What its output is.
        notices: What was missing and taken for granted instead, a line each.
        numbers: Maps float32 images `(batch, size_px, size_px, 3)` in 0..255, as
            `preprocessing` makes them, to float32 `(batch,)` in the unit of the labels
            that it was trained on.
        model: The `keras.Model`, where it is one; it takes images in 0..255.

    Example:
        >>> model = keras_convnext.load("runs/ages")
        >>> model("photo.jpg")
        37.2
    """

    name: str
    kind: str
    preprocessing: Preprocessing
    meaning: OutputMeaning
    notices: tuple[str, ...]
    numbers: Callable[[np.ndarray], np.ndarray]
    model: Any = None

    def __call__(self, images: Any) -> Any:
        """Returns the numbers of images, in the unit of the training labels.

        Args:
            images: A file's path, a PIL image or an array `(height, width, 3)` with
                values in 0..255, of any size, which is resized and cropped as the
                model expects; or several: a list of these, or an array
                `(batch, height, width, 3)`.

        Returns:
            For one image a float; for several a list of floats.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is no image.

        Example:
            >>> model = keras_convnext.load("runs/ages")
            >>> model(["photo.jpg", "other.jpg"])
            [37.2, 24.9]
        """
        if is_one_image(images):
            return self([images])[0]
        found: list[float] = []
        for first in range(0, len(images), _AT_ONCE):
            group = images[first : first + _AT_ONCE]
            views = [view_image(each, self.preprocessing) for each in group]
            found += self.numbers(np.stack(views)).tolist()
        return found


def from_keras(loaded: LoadedModel, kind: str) -> Regressor:
    """Returns a Keras model, ready to answer.

    Args:
        loaded: The model.
        kind: "keras".
    """
    model = loaded.model if loaded.normalizes else normalize_first(loaded)
    forward = compile_forward(model)
    return Regressor(
        loaded.name,
        kind,
        loaded.preprocessing,
        loaded.meaning,
        loaded.notices,
        lambda images: np.asarray(forward(images), np.float32).reshape(-1),
        model,
    )


def from_export(path: Path, exported: ExportedModel) -> Regressor:
    """Returns an exported file, ready to answer.

    Args:
        path: The file, or the SavedModel's folder.
        exported: What was read from it.

    Raises:
        ValueError: What lies beside it does not fit; one line.
    """
    _, preprocessing, notices = find_beside_export(path, exported, KERAS_LOADER)
    return Regressor(
        str(path),
        exported.kind,
        preprocessing,
        OutputMeaning("number", True, "it was exported so"),
        notices,
        lambda images: np.asarray(exported.answer(images), np.float32).reshape(-1),
    )
