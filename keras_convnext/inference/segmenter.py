"""Trained segmentation models behind one face: images in, label maps out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_convnext.inference.classifier import make_forward, normalize_first
from keras_convnext.inference.images import is_one_image, pixels_of
from keras_convnext.inference.loaded_model import LoadedModel, find_beside_export
from keras_convnext.inference.outputs import OutputMeaning
from keras_convnext.inference.readers import ExportedModel
from keras_convnext.preprocessing import WHOLE_IMAGE, Preprocessing
from keras_convnext.segmentation.inference import logits_model, predict_label_map
from keras_convnext.segmentation.palette import palette_for
from keras_convnext.segmentation.tiles import label_by_tiles
from keras_convnext.whole_images import with_open_size


@dataclass(frozen=True)
class Segmenter:
    """A model that labels pixels, ready to answer. Call it with an image or several.

    Attributes:
        name: The published checkpoint, or the file that was found.
        kind: "keras", "saved_model", "tflite" or "checkpoint".
        labels: Class names.
        preprocessing: In which size it sees an image.
        meaning: What its outputs are.
        notices: What was missing and taken for granted instead, a line each.
        label_map: Maps an image `(height, width, 3)` in 0..255 of any size to class
            numbers `(height, width)`: uint8, or int32 for more than 255 classes.
        predict: Where it is a `keras.Model`: maps float32 images `(batch, height,
            width, 3)` in 0..255 of any size to float32 logits `(batch, height, width,
            classes)`.
        model: The `keras.Model`, where it is one.

    Example:
        >>> import keras_convnext
        >>> arguments = {"classes": 2, "classifier_activation": "softmax"}
        >>> keras_convnext.UPerNet("convnext_atto", **arguments).save("cells.keras")
        >>> cells = keras_convnext.load("cells.keras")
        >>> cells.kind, cells.preprocessing.size_px
        ('keras', 512)
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    meaning: OutputMeaning
    notices: tuple[str, ...]
    label_map: Callable[[np.ndarray], np.ndarray]
    predict: Callable[[np.ndarray], np.ndarray] | None = None
    model: Any = None

    @property
    def palette(self) -> np.ndarray:
        """A color for each class, uint8 `(classes, 3)`."""
        return palette_for(self.labels)

    def __call__(self, images: Any) -> Any:
        """Returns the class of every pixel, at an image's own size.

        Args:
            images: A file's path, a PIL image or an array `(height, width, 3)` with
                values in 0..255, of any size; or several: a list of these, or an array
                `(batch, height, width, 3)`.

        Returns:
            For one image class numbers `(height, width)`: uint8, or int32 for more than
            255 classes. For several a list of these.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is no image.

        Example:
            >>> import keras_convnext
            >>> model = keras_convnext.load("upernet_convnext_tiny.ade20k_512")
            >>> model("photo.jpg").shape
            (480, 640)
        """
        if is_one_image(images):
            return self.label_map(pixels_of(images))
        return [self.label_map(pixels_of(each)) for each in images]


def from_keras(loaded: LoadedModel, kind: str) -> Segmenter:
    """Returns a Keras model, ready to answer.

    Args:
        loaded: The model.
        kind: "keras" or "checkpoint".

    Raises:
        ValueError: It is made for one size alone, by more than its input.
    """
    size_px = loaded.preprocessing.size_px
    model = with_open_size(loaded.model)
    if loaded.meaning.applied:
        model = logits_model(model)
    if not loaded.normalizes:
        model = normalize_first(replace(loaded, model=model))
    predict = make_forward(model, replace(loaded.meaning, applied=True))
    return Segmenter(
        loaded.name,
        kind,
        loaded.labels,
        loaded.preprocessing,
        loaded.meaning,
        loaded.notices,
        lambda image: predict_label_map(predict, image, size_px),
        predict,
        loaded.model,
    )


def from_export(path: Path, exported: ExportedModel) -> Segmenter:
    """Returns an exported file, ready to answer.

    Args:
        path: The file, or the SavedModel's folder.
        exported: What was read from it.

    Raises:
        ValueError: What lies beside it does not fit; one line.
    """
    labels, preprocessing, notices = find_beside_export(path, exported, WHOLE_IMAGE)
    size_px, answer = exported.size_px, exported.answer

    def label_map(image: np.ndarray) -> np.ndarray:
        if size_px is None:
            # The graph itself resizes images and label maps.
            return np.asarray(answer(image[np.newaxis])[0])
        return label_by_tiles(answer, image, size_px, len(labels))

    return Segmenter(
        str(path),
        exported.kind,
        labels,
        preprocessing,
        OutputMeaning("label_map", True, "it was exported so"),
        notices,
        label_map,
    )
