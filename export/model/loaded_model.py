"""What is exported: a Keras model, its class names and its preprocessing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from keras_convnext._messages import UsageError
from keras_convnext.inference.loaded_model import LoadedModel, load_model_file


@dataclass(frozen=True)
class Source(LoadedModel):
    """A model and what belongs to it.

    Attributes:
        sha256: Of the file, or of a checkpoint's weights one after another, in
            hexadecimal digits.
        flip: Whether answers are the mean of those to an image and to its mirror image.
    """

    sha256: str = ""
    flip: bool = False


def load(
    path: Path, output: str | None = None, normalization: str | None = None
) -> Source:
    """Reads a model and what lies beside it.

    Args:
        path: What `model_file.find` returned.
        output: What the model's outputs are, where it does not tell.
        normalization: What it expects of images, where it does not tell.

    Raises:
        UsageError: The model cannot be read or is not an image classifier, what its
            numbers mean stays open, or what lies beside it does not fit it.
    """
    try:
        loaded = load_model_file(path, output=output, normalization=normalization)
    except ValueError as error:
        raise UsageError(str(error)) from error
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Source(**{**vars(loaded), "name": path.name}, sha256=digest)
