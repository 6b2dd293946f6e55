"""Trained classifiers of any kind behind one face: images in, names and scores out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_convnext.inference.images import is_one_image, view_image
from keras_convnext.inference.loaded_model import LoadedModel, find_beside_export
from keras_convnext.inference.outputs import Kind, OutputMeaning
from keras_convnext.inference.readers import ExportedModel
from keras_convnext.inference.sidecars import (
    USUAL_THRESHOLD,
    find_record,
    find_thresholds,
)
from keras_convnext.preprocessing import KERAS_LOADER, Preprocessing
from keras_convnext.whole_images import with_input_side

# A step of an integer file's output, and half a step more.
_ROUNDING = 0.02
_AT_ONCE = 32


@dataclass(frozen=True)
class Classifier:
    """A model, ready to answer. Call it with an image or several.

    Attributes:
        name: The published checkpoint, or the file that was found.
        kind: "keras", "saved_model", "tflite" or "checkpoint".
        labels: Class names. A model with one output has two, of 0 and of 1, or the
            second alone.
        preprocessing: How an image becomes its input.
        meaning: What its outputs are.
        is_exclusive: Whether an image shows one of the labels and no other, so that
            the scores add up to one.
        notices: What was missing and taken for granted instead, a line each.
        probabilities: Maps float32 images `(batch, size_px, size_px, 3)` in 0..255,
            as `preprocessing` makes them, to float32 `(batch, labels)`.
        synsets: WordNet ids of the classes, where it is ImageNet's.
        model: The `keras.Model`, where it is one; it takes images in 0..255.
        thresholds: Above which score each label applies, where labels do not exclude
            each other and a thresholds.json beside the model says it; else empty.

    Example:
        >>> import keras_convnext
        >>> keras_convnext.create("convnext_atto", classes=2).save("pets.keras")
        >>> pets = keras_convnext.load("pets.keras")
        >>> pets.kind, pets.preprocessing.size_px
        ('keras', 224)
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    meaning: OutputMeaning
    is_exclusive: bool
    notices: tuple[str, ...]
    probabilities: Callable[[np.ndarray], np.ndarray]
    synsets: tuple[str, ...] = ()
    model: Any = None
    thresholds: tuple[float, ...] = ()

    def apply_thresholds(self, scores: Sequence[float] | np.ndarray) -> tuple[str, ...]:
        """Returns the labels that apply to an image, in the model's order.

        Args:
            scores: A row of `probabilities`, `(labels,)`.

        Example:
            >>> import keras_convnext
            >>> model = keras_convnext.load("runs/photos")
            >>> model.apply_thresholds([0.97, 0.02, 0.01])
            ('daisy',)
        """
        limits = self.thresholds or (USUAL_THRESHOLD,) * len(self.labels)
        rows = zip(self.labels, scores, limits, strict=True)
        return tuple(label for label, score, limit in rows if score > limit)

    def __call__(self, images: Any, top: int = 5) -> Any:
        """Returns names and scores, the likeliest first.

        Args:
            images: A file's path, a PIL image or an array `(height, width, 3)` with
                values in 0..255, of any size, which is resized and cropped as the
                model expects; or several: a list of these, or an array
                `(batch, height, width, 3)`.
            top: How many names to tell, at most.

        Returns:
            For one image a list of (name, score); for several a list of such lists.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is no image.

        Example:
            >>> model = keras_convnext.load("runs/photos")
            >>> model("photo.jpg", top=1)
            [('daisy', 0.97)]
        """
        if is_one_image(images):
            return self([images], top)[0]
        return [name_best(row, self.labels, top) for row in self._scores(images)]

    def find_labels(self, images: Any) -> Any:
        """Returns the labels that apply to images, by `apply_thresholds`.

        Args:
            images: One or several, as a call takes them.

        Returns:
            For one image a tuple of labels; for several a list of such tuples.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is no image.

        Example:
            >>> model = keras_convnext.load("runs/photos")
            >>> model.find_labels("photo.jpg")
            ('daisy',)
        """
        if is_one_image(images):
            return self.find_labels([images])[0]
        return [self.apply_thresholds(row) for row in self._scores(images)]

    def _scores(self, images: Any) -> Iterator[np.ndarray]:
        for first in range(0, len(images), _AT_ONCE):
            group = images[first : first + _AT_ONCE]
            views = [view_image(each, self.preprocessing) for each in group]
            yield from self.probabilities(np.stack(views))


def name_best(
    scores: np.ndarray, labels: Sequence[str], top: int
) -> list[tuple[str, float]]:
    """Returns the names and scores of the likeliest classes, the likeliest first.

    Args:
        scores: `(classes,)`.
        labels: The classes' names.
        top: How many, at most.
    """
    order = np.argsort(-scores, kind="stable")[:top]
    return [(labels[number], float(scores[number])) for number in order]


def from_keras(loaded: LoadedModel, kind: str) -> Classifier:
    """Returns a Keras model, ready to answer.

    Args:
        loaded: The model.
        kind: "keras" or "checkpoint".

    Raises:
        ValueError: It gives features, and no classes.
    """
    if loaded.meaning.kind == "features":
        raise ValueError(
            f"{loaded.name} gives features, and no classes; a classifier is trained "
            f"from it with --recipe=finetune_small --weights={loaded.name}"
        )
    model = loaded.model if loaded.normalizes else normalize_first(loaded)
    forward = make_forward(model, loaded.meaning)
    outputs = model.outputs[0].shape[-1]
    return Classifier(
        loaded.name,
        kind,
        loaded.labels,
        loaded.preprocessing,
        loaded.meaning,
        _are_exclusive(loaded.meaning, outputs, loaded.labels),
        loaded.notices,
        lambda images: _per_label(forward(images), loaded.labels),
        loaded.synsets,
        model,
        loaded.thresholds,
    )


def with_size(model: Classifier, size_px: int) -> Classifier:
    """Returns a classifier of the same weights for images of another size.

    Args:
        model: Of a Keras model.
        size_px: Side of the images that it is to take.

    Raises:
        ValueError: It cannot take them.
    """
    resized = with_input_side(model.model, size_px)
    forward = make_forward(resized, model.meaning)
    return replace(
        model,
        preprocessing=replace(model.preprocessing, size_px=size_px),
        probabilities=lambda images: _per_label(forward(images), model.labels),
        model=resized,
    )


def normalize_first(loaded: LoadedModel) -> Any:
    """Returns a model that takes images in 0..255, made of one that does not."""
    import keras

    mean, variance = loaded.preprocessing.normalization(3)
    inputs = keras.Input(loaded.model.inputs[0].shape[1:])
    normalize = keras.layers.Normalization(mean=mean, variance=variance)
    outputs = loaded.model(normalize(inputs))
    return keras.Model(inputs, outputs, name=loaded.model.name)


def make_forward(
    model: Any, meaning: OutputMeaning
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a model as a function from images to probabilities.

    Args:
        model: A Keras model that takes images in 0..255.
        meaning: What its outputs are; classes.

    Returns:
        From float32 `(batch, size_px, size_px, 3)` to float32 `(batch, outputs)`.
        Much faster than `model.predict` for an image or two.
    """
    import keras

    activation = keras.activations.get(meaning.activation)
    return compile_forward(
        model, lambda outputs: activation(keras.ops.cast(outputs, "float32"))
    )


def compile_forward(
    model: Any, finish: Callable[[Any], Any] = lambda outputs: outputs
) -> Callable[[np.ndarray], Any]:
    """Returns a model as a function of NumPy arrays, in one graph.

    Args:
        model: A Keras model that takes images in 0..255.
        finish: What is done to its outputs.

    Returns:
        From images `(batch, height, width, 3)` to what `finish` makes of the model's
        outputs.
    """
    import keras

    # An input may have a name, or stand in a list; a Sequential model that was loaded
    # has none to ask for, and takes the images.
    structure = getattr(model, "input", None)

    def forward(images: Any) -> Any:
        given = keras.tree.pack_sequence_as(structure, [images])
        return finish(model(given, training=False))

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # One graph, however many images come at a time.
        shape = model.inputs[0].shape
        forward = tf.function(forward, input_signature=[tf.TensorSpec(shape)])
    return lambda images: keras.tree.map_structure(
        lambda each: np.asarray(keras.ops.convert_to_numpy(each)),
        forward(images.astype(np.float32)),
    )


def from_export(path: Path, exported: ExportedModel) -> Classifier:
    """Returns an exported file, ready to answer.

    Args:
        path: The file, or the SavedModel's folder.
        exported: What was read from it.

    Raises:
        ValueError: What lies beside it does not fit; one line.
    """
    outputs = exported.outputs or 0
    labels, preprocessing, notices = find_beside_export(path, exported, KERAS_LOADER)
    meaning = _find_meaning(path, outputs)

    def probabilities(images: np.ndarray) -> np.ndarray:
        rows = np.asarray(exported.answer(images), np.float32)
        if not (rows.min() >= -_ROUNDING and rows.max() <= 1 + _ROUNDING):
            raise ValueError(
                f"{path} answers with {rows.min():.3g}..{rows.max():.3g}, which are no "
                "probabilities: export the .keras file that it was made of"
            )
        return _per_label(rows, labels)

    return Classifier(
        str(path),
        exported.kind,
        labels,
        preprocessing,
        meaning,
        _are_exclusive(meaning, outputs, labels),
        notices,
        probabilities,
        thresholds=find_thresholds(path, labels) if meaning.kind == "sigmoid" else (),
    )


def _find_meaning(path: Path, outputs: int) -> OutputMeaning:
    """Returns the meaning of an exported file's outputs, from its manifest."""
    found = find_record(path, "output")
    kind: Kind = "sigmoid" if outputs == 1 else "softmax"
    if found is not None and found[1].get("kind") == "sigmoid":
        kind = "sigmoid"
    return OutputMeaning(kind, True, "it was exported so")


def _are_exclusive(
    meaning: OutputMeaning, outputs: int, labels: tuple[str, ...]
) -> bool:
    return meaning.kind == "softmax" or (outputs == 1 and len(labels) == 2)


def _per_label(rows: np.ndarray, labels: tuple[str, ...]) -> np.ndarray:
    """Returns a score for each label; one output tells the second of two."""
    if rows.shape[1] == 1 and len(labels) == 2:
        return np.concatenate([1 - rows, rows], axis=1)
    return rows
