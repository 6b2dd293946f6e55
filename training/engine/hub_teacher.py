"""A KerasHub DINOv3 or DINOv2 as a teacher of features, by preset or by folder."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras

from .teacher_view import TeacherNetwork, say_briefly

PREFIX = "keras_hub:"
# As their authors take them for classification: the class token, behind the last norm.
# Source: arXiv:2508.10104 and arXiv:2304.07193, k-NN and linear classification.
_WITH_CLASS_TOKEN = ("DINOV3Backbone", "DINOV2Backbone")
_CONFIG = "config.json"


def find_preset(named: str) -> str | None:
    """Returns the preset that a teacher's name stands for; None for none.

    Args:
        named: "keras_hub:" and a preset, or a folder as `save_to_preset` leaves it.

    Raises:
        ValueError: It is one, and KerasHub is not installed.
    """
    preset = None
    if named.startswith(PREFIX):
        preset = named.removeprefix(PREFIX)
    elif _is_preset(Path(named).expanduser()):
        preset = str(Path(named).expanduser())
    if preset is not None and find_spec("keras_hub") is None:
        raise ValueError(
            f'teacher={named} needs KerasHub: pip install "keras-convnext[hub]"'
        )
    return preset


def _is_preset(folder: Path) -> bool:
    try:
        config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and str(config.get("module")).startswith(
        "keras_hub."
    )


def load(preset: str) -> TeacherNetwork:
    """Returns a preset's backbone, and how it sees images by its own image converter.

    Args:
        preset: As KerasHub's `from_preset` takes it.

    Raises:
        ValueError: It cannot be had, or is no backbone of `_WITH_CLASS_TOKEN`; one
            line.
    """
    import keras_hub

    try:
        converter = keras_hub.layers.ImageConverter.from_preset(preset)
        side = (converter.image_size or (None,))[0]
        shape = {"image_shape": (side, side, 3)} if side else {}
        backbone = keras_hub.models.Backbone.from_preset(preset, **shape)
    # KerasHub lets through whatever its stores raise.
    except Exception as error:
        reason = say_briefly(error)
        raise ValueError(
            f"KerasHub cannot build its backbone and image converter: {reason}"
        ) from error
    return TeacherNetwork(
        take_features(backbone),
        side or backbone.inputs[0].shape[1],
        _per_channel(converter.scale, 1.0),
        _per_channel(converter.offset, 0.0),
        converter.interpolation,
        converter.antialias,
    )


def _per_channel(values: Any, otherwise: float) -> tuple[float, ...]:
    if values is None:
        return (otherwise,) * 3
    given = tuple(values) if isinstance(values, list | tuple) else (values,) * 3
    return tuple(map(float, given))


def is_backbone(model: keras.Model) -> bool:
    """Returns True if a model is one of KerasHub's backbones."""
    return any(
        kind.__name__ == "Backbone" and kind.__module__.startswith("keras_hub.")
        for kind in type(model).__mro__
    )


def take_features(backbone: keras.Model) -> keras.Model:
    """Returns a model from normalized images to the class token, `(batch, channels)`.

    Raises:
        ValueError: The backbone has none.
    """
    if type(backbone).__name__ not in _WITH_CLASS_TOKEN:
        raise ValueError(
            f"it is a {type(backbone).__name__}, and of KerasHub's backbones "
            f"{' and '.join(_WITH_CLASS_TOKEN)} teach"
        )
    return keras.Model(backbone.inputs[0], backbone.outputs[0][:, 0])
