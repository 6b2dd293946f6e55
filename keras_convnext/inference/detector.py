"""Trained detectors behind one face: images in, objects out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_convnext.detection.inference import (
    Objects,
    find_objects,
    objects_in_square,
    objects_of,
    square_view,
)
from keras_convnext.inference.classifier import compile_forward, normalize_first
from keras_convnext.inference.images import is_one_image, pixels_of
from keras_convnext.inference.loaded_model import LoadedModel, find_beside_export
from keras_convnext.inference.outputs import OutputMeaning
from keras_convnext.inference.readers import ExportedModel
from keras_convnext.inference.sidecars import LABELS
from keras_convnext.preprocessing import DETECTION_IMAGE, Preprocessing
from keras_convnext.whole_images import with_open_size


@dataclass(frozen=True)
class Detector:
    """A model that finds objects, ready to answer. Call it with an image or several.

    Attributes:
        name: The published checkpoint, or the file that was found.
        kind: "keras", "saved_model", "tflite" or "checkpoint".
        labels: Class names.
        preprocessing: In which size it sees an image.
        meaning: What its outputs are.
        notices: What was missing and taken for granted instead, a line each.
        find: Maps an image `(height, width, 3)` in 0..255 of any size to its
            `Objects`, without names.
        predict: Where it is a `keras.Model`: maps float32 images `(batch, height,
            width, 3)` in 0..255 of any size to the dictionary of
            `keras_convnext.MaskRCNN`, of NumPy arrays.
        model: The `keras.Model`, where it is one.

    Example:
        >>> import keras_convnext
        >>> keras_convnext.MaskRCNN("convnext_atto", 2).save("cells.keras")
        >>> cells = keras_convnext.load("cells.keras")
        >>> cells.kind, cells.preprocessing.size_px
        ('keras', 800)
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    meaning: OutputMeaning
    notices: tuple[str, ...]
    find: Callable[[np.ndarray], Objects]
    predict: Callable[[np.ndarray], dict[str, np.ndarray]] | None = None
    model: Any = None

    def __call__(self, images: Any) -> Any:
        """Returns the objects in an image, the best first.

        Args:
            images: A file's path, a PIL image or an array `(height, width, 3)` with
                values in 0..255, of any size; or several: a list of these, or an array
                `(batch, height, width, 3)`.

        Returns:
            For one image its `Objects`: boxes, scores, classes, names and masks. For
            several a list of these.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is no image, or a class has no name.

        Example:
            >>> import keras_convnext
            >>> model = keras_convnext.load("mask_rcnn_convnext_tiny.coco")
            >>> model("photo.jpg").names
            ('dog', 'person')
        """
        if is_one_image(images):
            found = self.find(pixels_of(images))
            largest = max(found.classes, default=-1)
            if largest >= len(self.labels):
                raise ValueError(
                    f"{self.name} finds class {largest}, counted from 0, but there are "
                    f"{len(self.labels)} class names: {LABELS} beside it needs a line "
                    "for each class"
                )
            names = tuple(self.labels[number] for number in found.classes)
            return replace(found, names=names)
        return [self(each) for each in images]


def from_keras(loaded: LoadedModel, kind: str) -> Detector:
    """Returns a Keras model, ready to answer.

    Args:
        loaded: The model.
        kind: "keras" or "checkpoint".

    Raises:
        ValueError: It is made for one size alone, by more than its input.
    """
    model = with_open_size(loaded.model)
    if not loaded.normalizes:
        model = normalize_first(replace(loaded, model=model))
    predict = compile_forward(model)
    return Detector(
        loaded.name,
        kind,
        loaded.labels,
        loaded.preprocessing,
        loaded.meaning,
        loaded.notices,
        lambda image: find_objects(predict, image, loaded.preprocessing),
        predict,
        loaded.model,
    )


def from_export(path: Path, exported: ExportedModel) -> Detector:
    """Returns an exported file, ready to answer.

    Args:
        path: The file, or the SavedModel's folder.
        exported: What was read from it.

    Raises:
        ValueError: What lies beside it does not fit; one line.
    """
    labels, preprocessing, notices = find_beside_export(path, exported, DETECTION_IMAGE)
    seen, size_px = preprocessing, exported.size_px

    def find(image: np.ndarray) -> Objects:
        view = image if size_px is None else square_view(image, seen)
        answers = exported.answer(view[np.newaxis]).items()
        outputs = {name: values[0] for name, values in answers}
        if size_px is None:
            # The graph itself resizes images, and tells boxes in their own pixels.
            return objects_of(outputs, image.shape[:2], image.shape[:2])
        return objects_in_square(outputs, image.shape, size_px)

    return Detector(
        str(path),
        exported.kind,
        labels,
        preprocessing,
        OutputMeaning("objects", True, "it was exported so"),
        notices,
        find,
    )
