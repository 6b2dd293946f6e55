"""Networks and tensors of the recorded references, for the tests of dialects."""

import json
import lzma
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import safetensors.numpy

from keras_convnext import models
from keras_convnext.variants import find_variant

HERE = Path(__file__).parent
REFERENCES = json.loads(lzma.decompress((HERE / "references.json.xz").read_bytes()))
DEPTHS, SIZE_PX, CLASSES = (1, 1, 2, 1), 64, 10


def build(reference: dict[str, Any], **arguments: Any) -> keras.Model:
    variant = replace(
        find_variant(reference["variant"]),
        depths=DEPTHS,
        widths=tuple(reference["widths"]),
    )
    defaults: dict[str, Any] = {"input_shape": (SIZE_PX, SIZE_PX, 3)}
    if arguments.get("include_top", True):
        defaults |= {"classes": CLASSES, "classifier_activation": None}
    return models.build(
        variant, include_preprocessing=False, **{**defaults, **arguments}
    )


def tensors_of(reference: dict[str, Any], seeded: Callable) -> dict[str, np.ndarray]:
    return {
        name: seeded(name, tuple(shape)) for name, shape in reference["tensors"].items()
    }


def name_of(reference: dict[str, Any]) -> str:
    return f"{reference['dialect']}-{reference['variant']}"


def find(dialect: str, variant: str) -> dict[str, Any]:
    return next(r for r in REFERENCES if name_of(r) == f"{dialect}-{variant}")


def save(tensors: dict[str, np.ndarray], path: Path) -> Path:
    safetensors.numpy.save_file(tensors, path)
    return path


def values(model: keras.Model) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable) for variable in model.weights]
