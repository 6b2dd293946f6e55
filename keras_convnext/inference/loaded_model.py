"""A Keras model and what its numbers mean: told, found in it, or found beside it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from keras_convnext import weights
from keras_convnext.creation import create
from keras_convnext.detection import checkpoints as detectors
from keras_convnext.detection.by_name import PREFIXES as DETECTORS
from keras_convnext.detection.coco_classes import coco_category_ids
from keras_convnext.inference.dense_outputs import count_labels
from keras_convnext.inference.inputs import normalizes_images
from keras_convnext.inference.outputs import (
    OutputMeaning,
    find_output_meaning,
    read_recorded_loss,
)
from keras_convnext.inference.readers import ExportedModel
from keras_convnext.inference.sidecars import (
    PREPROCESSING,
    find_labels,
    find_preprocessing,
    find_thresholds,
    read_task,
)
from keras_convnext.labels import class_names
from keras_convnext.preprocessing import (
    DETECTION_IMAGE,
    IMAGENET,
    IMAGENET_MEAN,
    IMAGENET_STD,
    KERAS_LOADER,
    WHOLE_IMAGE,
    WHOLE_MODES,
    Preprocessing,
)
from keras_convnext.segmentation import checkpoints as upernets
from keras_convnext.segmentation.palette import ade20k_classes
from keras_convnext.weights.fetch import describe_manual_fetch
from keras_convnext.weights.identify import identify

# Mean and deviation on the scale 0..1, by the values of the flag --normalization.
NORMALIZATIONS = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "symmetric": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "none": ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
}
# Of files that hold weights without a network.
WEIGHTS_ENDINGS = (".safetensors", ".pth", ".pt", ".bin", ".npz", ".h5")
# The tasks whose runs leave networks without a classifier.
WITHOUT_CLASSES = ("masked_autoencoding", "feature_distillation")
_IMAGENET_CLASSES = (1000, 11821, 21841)
# What sees images whole, and how: by the meaning of a model's outputs.
_WHOLE_IMAGES = {"label_map": WHOLE_IMAGE, "objects": DETECTION_IMAGE}


@dataclass(frozen=True)
class LoadedModel:
    """A Keras model and what belongs to it.

    Attributes:
        name: Of the published checkpoint, or the path of the model's file.
        model: The `keras.Model`.
        meaning: What its outputs are.
        labels: Class names in the order of its outputs; of a model with one output,
            the names of 0 and 1, or of 1 alone. Empty where it gives features.
        preprocessing: How an image becomes its input.
        normalizes: Whether it normalizes images in 0..255 by itself; otherwise mean
            and deviation of `preprocessing` are to be applied first.
        notices: What was missing and assumed instead, a line each.
        synsets: WordNet ids of the classes, where they are ImageNet's.
        license: Of the weights, where a publisher states one.
        thresholds: Above which probability each label applies, where labels do not
            exclude each other and a file beside the model says it; else empty.
    """

    name: str
    model: Any
    meaning: OutputMeaning
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    normalizes: bool
    notices: tuple[str, ...] = ()
    synsets: tuple[str, ...] = ()
    license: str | None = None
    thresholds: tuple[float, ...] = ()


def load_model_file(
    path: Path, *, output: str | None = None, normalization: str | None = None
) -> LoadedModel:
    """Reads a .keras file, or a file of weights, and what lies beside it.

    Args:
        path: The file. Weights (of `WEIGHTS_ENDINGS`) are put into the variant that
            their names and shapes are of.
        output: What its outputs are, of `outputs.OUTPUTS`, where the file does not
            tell.
        normalization: One of `NORMALIZATIONS`, where the model does not normalize.

    Raises:
        ValueError: It cannot be read, takes no square RGB images, or what its numbers
            mean stays open; one line.
    """
    is_weights = path.suffix in WEIGHTS_ENDINGS
    if output is None and read_task(path) in WITHOUT_CLASSES:
        output = "features"
    model = _build_around(path) if is_weights else _load(path)
    try:
        size_px = find_size_px(model)
        loss = None if is_weights else read_recorded_loss(path)
        meaning = find_output_meaning(model, loss=loss, told=output)
    except ValueError as error:
        raise ValueError(f"{path} cannot be used: {error}") from error
    labels: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    if meaning.kind not in ("features", "number"):
        labels, notices = _find_names(path, model, meaning)
    preprocessing, normalizes, more = _find_preprocessing(
        path, model, meaning, size_px, normalization
    )
    if meaning.kind in _WHOLE_IMAGES:
        # Whatever crop its backbone's classifier had: the answer is of all pixels.
        own = {
            name: getattr(preprocessing, name) for name in ("size_px", "mean", "std")
        }
        preprocessing = dataclasses.replace(_WHOLE_IMAGES[meaning.kind], **own)
    return LoadedModel(
        str(path),
        model,
        meaning,
        labels,
        preprocessing,
        normalizes,
        notices + more,
        thresholds=find_thresholds(path, labels) if meaning.kind == "sigmoid" else (),
    )


def _find_names(
    path: Path, model: Any, meaning: OutputMeaning
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the class names that a model carries, or those beside its file."""
    outputs = count_labels(model)
    if path.suffix in WEIGHTS_ENDINGS:
        if names := getattr(model, "class_names", None):
            return tuple(names), ()
        if outputs in _IMAGENET_CLASSES:
            return tuple(name for _, name in class_names(outputs)), ()
    return find_labels(path, outputs, is_binary=meaning.kind != "objects")


def load_published(name: str) -> LoadedModel:
    """Fetches a published model and builds it.

    Args:
        name: "arch.tag", one of `keras_convnext.list_weights()`, `list_upernets()` or
            `list_detectors()`.

    Raises:
        ValueError: There is no such checkpoint, or it gives features only.
        OSError: It cannot be fetched.
    """
    options: dict[str, Any] = {}
    synsets: tuple[str, ...] = ()
    if name.startswith(upernets.PREFIX):
        record, names = upernets.find(name).weights, ade20k_classes()
        options["input_shape"] = (None, None, 3)
    elif name.startswith(DETECTORS):
        record, names = detectors.find(name).weights, tuple(coco_category_ids())
    else:
        record = weights.find(name)
        if not (record.classes and record.classifier_activation):
            raise ValueError(f"{name} has no classifier: it gives features only")
        synsets, names = zip(*class_names(record.classes), strict=True)
    try:
        model = create(record.name, **options)
    except OSError as error:
        raise OSError(f"{error} {describe_manual_fetch(record, '--model')}") from error
    return LoadedModel(
        record.name,
        model,
        find_output_meaning(model),
        names,
        record.preprocessing,
        normalizes=True,
        synsets=synsets,
        license=record.license,
    )


def _build_around(path: Path) -> Any:
    """Returns the classifier whose weights a file holds."""
    try:
        found = identify(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as weights: {error}") from error
    if found is None:
        raise ValueError(
            f"{path} holds weights of no known variant: build the model, load them by "
            "keras_convnext.load_weights and save it as a .keras file"
        )
    if found.classes is None:
        raise ValueError(
            f"{path} holds weights of {found.variant} without a classifier"
        )
    options = {"patch_size": found.patch_size} if found.patch_size else {}
    return create(found.variant, weights=str(path), classes=found.classes, **options)


def _load(path: Path) -> Any:
    import keras

    try:
        return keras.saving.load_model(path, compile=False)
    # Keras lets through whatever the layers' own code raises.
    except Exception as error:
        # Its messages end with the whole configuration.
        reason = str(error).strip().partition("\n")[0][:300]
        reason = reason or type(error).__name__
        if "keras_hub" in str(error) and find_spec("keras_hub") is None:
            reason = 'it holds layers of KerasHub: pip install "keras-convnext[hub]"'
        raise ValueError(f"{path} cannot be read as a model: {reason}") from error


def find_size_px(model: Any) -> int | None:
    """Returns the side of the images that a model takes; None where any will do.

    Raises:
        ValueError: It takes something else than one square RGB image.
    """
    inputs = getattr(model, "inputs", None) or []
    if not inputs:
        raise ValueError(
            "its input cannot be seen, because it is a subclassed model: call it on "
            "inputs = keras.Input(...) and save keras.Model(inputs, model(inputs))"
        )
    if len(inputs) > 1:
        names = ", ".join(each.name for each in inputs)
        raise ValueError(f"it has {len(inputs)} inputs ({names}), not one image")
    shape = tuple(inputs[0].shape)
    if len(shape) != 4 or shape[-1] != 3:
        raise ValueError(f"its input is {shape}, not (batch, height, width, 3)")
    _, height, width, _ = shape
    if height != width:
        raise ValueError(f"its input is {height} x {width} pixels, not a square")
    return None if height is None else int(height)


def _find_preprocessing(
    path: Path,
    model: Any,
    meaning: OutputMeaning,
    size_px: int | None,
    normalization: str | None,
) -> tuple[Preprocessing, bool, tuple[str, ...]]:
    """Returns how a model sees images, whether it normalizes them, and notices."""
    normalizes = _find_normalizes(path, model, normalization)
    found = find_preprocessing(
        path,
        size_px,
        needs_normalization=not normalizes and normalization is None,
    )
    notices: tuple[str, ...] = ()
    if found is None:
        if not normalizes and normalization is None:
            raise ValueError(_ask_for_normalization(path, normalizes))
        found, notice = _assume_geometry(
            path, size_px, _usual_preprocessing(model, meaning)
        )
        notices = (notice,)
    if normalization is not None:
        mean, std = NORMALIZATIONS[normalization]
        found = dataclasses.replace(found, mean=mean, std=std)
    return found, normalizes, notices


def _find_normalizes(path: Path, model: Any, normalization: str | None) -> bool:
    if normalization is not None and normalization not in NORMALIZATIONS:
        raise ValueError(
            f"--normalization={normalization} is none of {', '.join(NORMALIZATIONS)}"
        )
    seen = normalizes_images(model)
    if seen is None and normalization is None:
        raise ValueError(_ask_for_normalization(path, seen))
    if seen and normalization not in (None, "none"):
        raise ValueError(
            f"--normalization={normalization}, but {path} normalizes images by itself: "
            "leave the flag out"
        )
    return bool(seen)


def _ask_for_normalization(path: Path, seen: bool | None) -> str:
    choices = (
        "imagenet (ImageNet's mean and deviation), unit (0..1), symmetric (-1..1) or "
        "none (0..255)"
    )
    if seen is None:
        return (
            f"{path} does not show whether it normalizes images: say "
            f"--normalization=none where it does, and else what it expects: {choices}"
        )
    return (
        f"{path} does not normalize images: say --normalization={choices}, or put mean "
        f"and std into a {PREPROCESSING} beside it"
    )


def find_beside_export(
    path: Path, exported: ExportedModel, assumed: Preprocessing
) -> tuple[tuple[str, ...], Preprocessing, tuple[str, ...]]:
    """Returns an exported file's class names and preprocessing, and notices.

    A file that gives a number has no class names.

    Args:
        path: The file, or the SavedModel's folder.
        exported: What was read from it.
        assumed: How files of its kind see an image.

    Raises:
        ValueError: What lies beside it cannot be read, or does not fit; one line.
    """
    named = exported.output != "number"
    labels, notices = find_labels(path, exported.outputs) if named else ((), ())
    preprocessing = find_preprocessing(path, exported.size_px)
    if preprocessing is None:
        preprocessing, notice = _assume_geometry(path, exported.size_px, assumed)
        # Files for whole images settle themselves how they see them.
        if assumed.crop_mode not in WHOLE_MODES:
            notices = (*notices, notice)
    return labels, preprocessing, notices


def _assume_geometry(
    path: Path, size_px: int | None, assumed: Preprocessing
) -> tuple[Preprocessing, str]:
    """Returns the assumed preprocessing of images, and a line about it.

    Args:
        path: The model's.
        size_px: Side of its input; None for any.
        assumed: What is usual, but for the size of a model that takes one alone.
    """
    size_px = size_px or assumed.size_px
    words = {
        "center": f"cropped to their middle ({assumed.crop_fraction:g}), as ImageNet's",
        "squash": "squashed whole, as Keras' image_dataset_from_directory does",
        "keep_ratio": "keep their ratio: that is their shorter side",
        "fit": "keep their ratio: that is their shorter side",
    }
    other = {
        "center": '{"crop_mode": "squash"}',
        "squash": '{"crop_mode": "center"}',
        "keep_ratio": '{"size_px": 640, "resize": "keep_ratio"}',
        "fit": '{"size_px": 640, "resize": "keep_ratio"}',
    }
    return dataclasses.replace(assumed, size_px=size_px), (
        f"no {PREPROCESSING} beside {path}: images are resized to {size_px} px and "
        f"{words[assumed.crop_mode]}; {other[assumed.crop_mode]} in it says otherwise"
    )


def _usual_preprocessing(model: Any, meaning: OutputMeaning) -> Preprocessing:
    """Returns how models of a kind see images.

    A published kind of ImageNet classifier is evaluated on the middle of an image;
    anybody else's data most likely come from Keras' loader of image folders.
    """
    if meaning.kind in _WHOLE_IMAGES:
        return _WHOLE_IMAGES[meaning.kind]
    names = {layer.name for layer in model.layers}
    of_imagenet = model.outputs[0].shape[-1] in _IMAGENET_CLASSES
    return IMAGENET if "head_dense" in names and of_imagenet else KERAS_LOADER
