"""What an export does for each kind of output: the table of the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_convnext.detection.inference import square_view
from keras_convnext.inference import detector, segmenter
from keras_convnext.inference.outputs import Kind
from keras_convnext.preprocessing import Preprocessing

from .convert.formats import FORMATS
from .convert.precisions import PRECISIONS, Precision
from .images import comparison
from .images.comparison import ComparisonImages
from .model.forward import Network, with_features
from .model.label_map_network import LabelMapNetwork, pixel_logits
from .model.loaded_model import Source
from .model.object_network import ObjectNetwork, open_detector
from .publish.classifier_results import CLASSES
from .publish.label_map_results import LABEL_MAPS
from .publish.number_results import NUMBERS
from .publish.object_results import OBJECTS
from .publish.presentation import Presentation
from .verify import (
    label_map_parity,
    label_map_reference,
    object_parity,
    object_reference,
    parity,
    reference,
)
from .verify.object_agreement import share_kept
from .verify.result import Result


@dataclass(frozen=True)
class OutputKind:
    """What is done with models of one kind of output.

    Attributes:
        enough_images: On how many images of a size, in pixels, to compare.
        ask_keras: Returns Keras' own answers to the images of the comparison.
        view: Returns an image as a file of one size sees it, float32 `(size_px,
            size_px, 3)`.
        graph: Returns the Keras model whose graph is folded and exported.
        network: Returns the forward pass of a model, with its folded graph if any.
        inputs: Says what each signature of a SavedModel takes.
        difference: Says how far a model of another precision is from the reference.
        verify: Runs a file and compares it with Keras.
        presentation: How that is shown.
        formats: That its models can be written in.
        one_size: Those of them whose files take images of one size alone.
        of_numbers: What each output of a file is, by its name, where classes are
            told by their numbers.
        not_in_files: What its files cannot be, a precision or "any_size", and why.
    """

    enough_images: Callable[[int], int]
    ask_keras: Callable[[Source, ComparisonImages], Any]
    view: Callable[[np.ndarray, Preprocessing], np.ndarray]
    graph: Callable[[Source], keras.Model]
    network: Callable[[Source, keras.Model | None], Any]
    inputs: Callable[[Any], dict[str, str]]
    difference: Callable[[Source, Any], tuple[float, str]]
    verify: Callable[[Path, Precision, Any], Result]
    presentation: Presentation
    formats: tuple[str, ...]
    one_size: tuple[str, ...] = ()
    of_numbers: Mapping[str, str] = field(default_factory=dict)
    not_in_files: Mapping[str, str] = field(default_factory=dict)


def _class_network(source: Source, inner: keras.Model | None) -> Network:
    return Network(
        source.model,
        source.preprocessing,
        inner,
        meaning=source.meaning,
        normalizes=source.normalizes,
        flip=source.flip,
    )


def _class_inputs(network: Network) -> dict[str, str]:
    side = network.size_px
    tensors = f"tensors: float32 (batch, {side}, {side}, 3) in 0..255, "
    tensors += "resized and cropped"
    if network.meaning.kind == "features":
        return {"features": tensors}
    return {**_IMAGES, "tensors": tensors, "features": tensors}


def _class_view(image: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    from keras_convnext.image import evaluation_view

    return np.asarray(evaluation_view(image, preprocessing))


def _class_difference(
    source: Source, compared: reference.Reference
) -> tuple[float, str]:
    answers = reference.ask_model(source, compared.tensors)
    difference = float(np.max(np.abs(answers - compared.probabilities)))
    return difference, f"{difference:.1g} at most from its own answers"


def _pixel_network(source: Source, inner: keras.Model | None) -> LabelMapNetwork:
    return LabelMapNetwork(source, pixel_logits(source) if inner is None else inner)


def _pixel_inputs(network: Any) -> dict[str, str]:
    tensors = "tensors: float32 (batch, height, width, 3) in 0..255, resized"
    return {**_IMAGES, "tensors": tensors}


def _pixel_view(image: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    return label_map_reference.crop_view(image, preprocessing.size_px)


def _pixel_difference(
    source: Source, compared: label_map_reference.LabelMapReference
) -> tuple[float, str]:
    asked = segmenter.from_keras(source, "keras")
    maps = label_map_reference.label_crops(asked, compared.tensors)
    other = 1 - label_map_parity.pixel_agreement(compared.tensor_maps, maps)
    return other, f"{other:.2%} of the pixels get another class than its own answers"


def _object_network(source: Source, inner: keras.Model | None) -> ObjectNetwork:
    return ObjectNetwork(source, open_detector(source) if inner is None else inner)


def _object_difference(
    source: Source, compared: object_reference.ObjectReference
) -> tuple[float, str]:
    shapes = [image.shape for image in compared.images]
    asked = detector.from_keras(source, "keras")
    found = object_reference.find_in_tensors(asked, compared.tensors, shapes)
    float32 = PRECISIONS["float32"]
    kept = share_kept(
        object_parity.compare(compared, compared.tensor_objects, found),
        float32.most_box_px,
        float32.most_score_difference,
    )
    return 1 - kept, f"{1 - kept:.2%} of the objects are not those of its own answers"


_IMAGES = {
    "bytes": "image_bytes: string (batch,), encoded JPEG, PNG, GIF, BMP or WebP",
    "images": "images: uint8 (batch, height, width, 3)",
}
_OF_IMAGES = OutputKind(
    enough_images=comparison.enough,
    ask_keras=reference.ask_keras,
    view=_class_view,
    graph=lambda source: with_features(source.model),
    network=_class_network,
    inputs=_class_inputs,
    difference=_class_difference,
    verify=parity.verify,
    presentation=CLASSES,
    formats=tuple(FORMATS),
)
_OF_PIXELS = OutputKind(
    enough_images=comparison.enough_label_maps,
    ask_keras=label_map_reference.ask_keras,
    view=_pixel_view,
    graph=pixel_logits,
    network=_pixel_network,
    inputs=_pixel_inputs,
    difference=_pixel_difference,
    verify=label_map_parity.verify,
    presentation=LABEL_MAPS,
    formats=tuple(FORMATS),
    # OpenVINO lacks an operator that pooling to a grid of an open size needs, and
    # ONNX's answers are wrong there.
    one_size=("openvino", "onnx"),
    not_in_files={
        "integer": "it resizes label maps, which TFLite Micro does not in 16 bits; "
        "--precision=int8 has most of its work in 8 bits"
    },
    of_numbers={"classes": "The class of each pixel"},
)
_ROUNDED_BOXES = (
    "8 or 16 bits of the arithmetic of boxes round them by several pixels; "
    "--precision=dynamic_int8 has its weights in 8 bits"
)
_OF_OBJECTS = OutputKind(
    enough_images=comparison.enough_label_maps,
    ask_keras=object_reference.ask_keras,
    view=square_view,
    graph=open_detector,
    network=_object_network,
    inputs=_pixel_inputs,
    difference=_object_difference,
    verify=object_parity.verify,
    presentation=OBJECTS,
    # OpenVINO reads no loop of a TFLite file, and suppression is one; nor does it read
    # the loops of the ONNX file.
    formats=tuple(name for name in FORMATS if name != "openvino"),
    of_numbers={
        "boxes": "y0, x0, y1, x1 in pixels of the square; divided by its side and "
        "multiplied by the image's longer side they are pixels of the image",
        "classes": "Class numbers from 0, -1 after the last object",
        "count": "How many objects there are",
        "masks": "Probabilities inside of the boxes",
        "scores": "Probabilities, falling",
    },
    not_in_files={
        "any_size": "the places of their anchors are fixed",
        "int8": _ROUNDED_BOXES,
        "int16x8": _ROUNDED_BOXES,
        "integer": _ROUNDED_BOXES,
    },
)
# By what a model's outputs mean.
OUTPUT_KINDS: dict[Kind, OutputKind] = {
    "softmax": _OF_IMAGES,
    "sigmoid": _OF_IMAGES,
    "number": replace(
        _OF_IMAGES,
        presentation=NUMBERS,
        of_numbers={"number": "The number, in the unit of the training labels"},
    ),
    "features": _OF_IMAGES,
    "label_map": _OF_PIXELS,
    "objects": _OF_OBJECTS,
}
