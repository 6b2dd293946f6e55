"""What a file says of itself, in the words that each format's metadata take."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from keras_convnext.inference.dense_outputs import count_labels
from keras_convnext.inference.sidecars import LABELS

from ..model.loaded_model import Source

_OUTPUT_LABELS = "output_labels.txt"
# What outputs are, for people.
OUTPUT_WORDS = {
    "softmax": "Probabilities of classes of which an image has one",
    "sigmoid": "The probability of each label by itself",
    "number": "A number in the unit of the training labels",
    "features": "Features, no classes",
    "label_map": "The class of each pixel",
    "objects": "Boxes, classes and scores of objects",
}
FLIP_WORDS = "; the mean over the image and its mirror image"
# What is to be done with images before a file takes them.
_SEEN = {
    "center": "cut to its middle",
    "squash": "squashed whole",
    "keep_ratio": "a square of the image with its ratio kept",
    "fit": "whole with its ratio kept, at the upper left, and filled up with the mean "
    "color",
}


@dataclass(frozen=True)
class Description:
    """What is said of a file.

    Attributes:
        name: Of the model.
        description: What its answers are.
        license: Of the weights; empty where none is stated.
        size_px: Side of its images.
        image: What is to be done with images before they are given to it.
        outputs: What its outputs are.
        labels_name: The packed file with a line for each output; empty without.
        of_numbers: What each output is, by its name, where one called `classes` holds
            numbers of such lines.
    """

    name: str
    description: str
    license: str
    size_px: int
    image: str
    outputs: str
    labels_name: str
    of_numbers: Mapping[str, str] = field(default_factory=dict)


def packed_names(source: Source) -> dict[str, Sequence[str]]:
    """Returns the lists of names that go into a TFLite file, by their file's name.

    The first has a line for each output. Of two classes that one output tells apart
    that is the second alone, so that a list of both is packed, too.
    """
    labels = source.labels
    outputs = count_labels(source.model) or len(labels)
    if labels and len(labels) != outputs:
        return {_OUTPUT_LABELS: labels[-outputs:], LABELS: labels}
    return {LABELS: labels} if labels else {}


def describe(source: Source, of_numbers: Mapping[str, str]) -> Description:
    """Returns what the files of a model say of themselves.

    Args:
        source: The model.
        of_numbers: As `Description` has it.
    """
    seen = source.preprocessing
    return Description(
        name=source.name,
        description=OUTPUT_WORDS[source.meaning.kind],
        license=source.license or "",
        size_px=seen.size_px,
        image=f"RGB in 0..255, {_SEEN[seen.crop_mode]}, {seen.interpolation}; not "
        "normalized.",
        outputs=f"{OUTPUT_WORDS[source.meaning.kind]} ({source.meaning.origin})"
        f"{FLIP_WORDS * source.flip}",
        labels_name=next(iter(packed_names(source)), ""),
        of_numbers=of_numbers,
    )


def as_texts(source: Source, description: Description) -> dict[str, str]:
    """Returns the same as texts by name, for formats with a table of those.

    Args:
        source: The model.
        description: What is said of it.

    Returns:
        Of them `labels` (the lines of labels.txt) and `preprocessing` (what
        preprocessing.json holds) are JSON.
    """
    return {
        "name": description.name,
        "description": description.description,
        "license": description.license,
        "image": description.image,
        "outputs": description.outputs,
        "labels": json.dumps(source.labels, ensure_ascii=False),
        "preprocessing": json.dumps(asdict(source.preprocessing)),
    }
