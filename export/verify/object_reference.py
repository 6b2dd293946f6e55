"""What Keras finds in the images that an export is compared on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np

from keras_convnext._messages import UsageError
from keras_convnext.detection import Objects
from keras_convnext.detection.box_outputs import Detections
from keras_convnext.detection.inference import objects_in_square, square_view
from keras_convnext.inference import detector
from keras_convnext.inference.detector import Detector

from ..images.comparison import ComparisonImages, decode
from ..images.image_set import TrueObjects
from ..model.loaded_model import Source
from .average_precision import average_precision


@dataclass(frozen=True)
class ObjectReference:
    """Images, and the objects that Keras finds in them.

    Attributes:
        names: What the images are called.
        files: The encoded images.
        images: Their pixels, uint8 `(height, width, 3)`.
        tensors: Each whole, as a network of one size sees it, float32 `(count, size_px,
            size_px, 3)`, 0..255.
        objects: Keras' objects in each image.
        tensor_objects: Keras' objects in each tensor, in pixels of the image.
        labels: The class names.
        score_threshold: What an object's score exceeds; 0 where the model does not show
            it.
        most_objects: How many objects of an image are told at most.
        truth: What is in each image; `None` where not all of them come with that.
        kind: "objects".
    """

    names: tuple[str, ...]
    files: tuple[bytes, ...]
    images: tuple[np.ndarray, ...]
    tensors: np.ndarray
    objects: tuple[Objects, ...]
    tensor_objects: tuple[Objects, ...]
    labels: tuple[str, ...]
    score_threshold: float
    most_objects: int
    truth: tuple[TrueObjects, ...] | None = None
    kind: str = "objects"

    def ap(self, found: Sequence[Objects]) -> float | None:
        """Returns COCO's AP of the boxes found in each image, if it is known."""
        return None if self.truth is None else average_precision(self.truth, found)


def ask_keras(source: Source, compared: ComparisonImages) -> ObjectReference:
    """Returns the objects that Keras finds.

    Args:
        source: The model.
        compared: What to ask about.

    Raises:
        UsageError: An image cannot be decoded, or the model finds no object, or the
            same ones in all images.
    """
    images = [decode(image) for image in compared.members]
    tensors = np.stack([square_view(each, source.preprocessing) for each in images])
    asked = detector.from_keras(source, "keras")
    found = tuple(map(asked.find, images))
    in_tensors = find_in_tensors(asked, tensors, [image.shape for image in images])
    if not any(map(len, found)) or not any(map(len, in_tensors)):
        said = "finds no object in any image"
    elif len(images) > 1 and _are_alike(found):
        said = "finds the same in every image"
    else:
        said = ""
    if said:
        raise UsageError(
            f"{source.name} {said} ({len(images)} tried): there is nothing to compare "
            "an exported file by; is the model trained, and does it get images as it "
            "was trained on (--normalization)?"
        )
    return ObjectReference(
        names=tuple(image.name for image in compared.members),
        files=tuple(image.contents for image in compared.members),
        images=tuple(images),
        tensors=tensors,
        objects=found,
        tensor_objects=in_tensors,
        labels=source.labels,
        score_threshold=_score_threshold(source.model),
        most_objects=source.model.output["boxes"].shape[1],
        truth=_truth(compared, source.labels),
    )


def find_in_tensors(
    asked: Detector, tensors: np.ndarray, shapes: Sequence[tuple[int, ...]]
) -> tuple[Objects, ...]:
    """Returns the objects that a Keras model finds in images of one size.

    Args:
        asked: The model.
        tensors: The images, float32 `(images, size_px, size_px, 3)` in 0..255.
        shapes: Their own heights and widths, whose pixels the boxes are told in.
    """
    assert asked.predict is not None
    answers = [asked.predict(row[np.newaxis]) for row in tensors]
    return tuple(
        objects_in_square({name: of[name][0] for name in of}, shape, tensors.shape[1])
        for of, shape in zip(answers, shapes, strict=True)
    )


def _truth(
    compared: ComparisonImages, labels: Sequence[str]
) -> tuple[TrueObjects, ...] | None:
    """Returns the images' objects in the model's numbers, if all of them have some."""
    truth = []
    for member in compared.members:
        if member.objects is None or not set(member.classes) <= set(labels):
            return None
        numbers = np.array([labels.index(name) for name in member.classes], int)
        truth.append(replace(member.objects, classes=numbers[member.objects.classes]))
    return tuple(truth) if any(len(each.classes) for each in truth) else None


def _score_threshold(model: keras.Model) -> float:
    layers = [layer for layer in model.layers if isinstance(layer, Detections)]
    return layers[0].score_threshold if layers else 0.0


def _are_alike(found: Sequence[Objects]) -> bool:
    """Returns True if the objects of all images are those of the first."""
    first = found[0]
    return all(
        len(each) == len(first) and np.array_equal(each.boxes, first.boxes)
        for each in found
    )
