"""A teacher's network and how it sees an image: put before it, it sees a student's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from keras_convnext.inference.sidecars import PREPROCESSING
from keras_convnext.preprocessing import Preprocessing

HOW_TO_TELL = (
    f"put mean and std, on the scale 0 to 1, into a {PREPROCESSING} beside it, or 0 "
    f"and {1 / 255:.6f} where it takes images in 0 to 255"
)
_LONGEST_REASON = 200
Numbers = tuple[float, ...]
# An image as it is, in 0..255: factor and offset of each channel.
_PLAIN: tuple[Numbers, Numbers] = ((1.0,) * 3, (0.0,) * 3)


@dataclass(frozen=True)
class TeacherNetwork:
    """A network that teaches, and what is done to images first.

    Attributes:
        model: From images `(batch, size_px, size_px, 3)` to what is distilled, float
            `(batch, outputs)`.
        size_px: Side of its images.
        scale: Factor on each channel of an image in 0..255.
        offset: What is then added to each channel.
        interpolation: By which its images are resized.
        antialias: Whether an image that is made smaller is smoothed first.
    """

    model: Any
    size_px: int
    scale: Numbers = _PLAIN[0]
    offset: Numbers = _PLAIN[1]
    interpolation: str = "bicubic"
    antialias: bool = True


def say_briefly(error: Exception) -> str:
    """Returns what another package's error says, on one line of some length at most."""
    return " ".join(str(error).split())[:_LONGEST_REASON] or type(error).__name__


def of_preprocessing(
    model: Any, size_px: int, seen: Preprocessing, normalizes: bool
) -> TeacherNetwork:
    """Returns a network that sees images as a record says.

    Args:
        model: The network.
        size_px: Side of its images.
        seen: The record.
        normalizes: Whether the network normalizes images by itself.
    """
    scale, offset = _PLAIN
    if not normalizes:
        scale = tuple(1 / (255 * std) for std in seen.std)
        pairs = zip(seen.mean, seen.std, strict=True)
        offset = tuple(-mean / std for mean, std in pairs)
    return TeacherNetwork(model, size_px, scale, offset, seen.interpolation)


def as_seen_by(network: TeacherNetwork, size_px: int) -> keras.Model:
    """Returns a teacher that takes the images of a student, and does not learn.

    It takes float32 images `(batch, size_px, size_px, 3)` in 0..255 and gives float32
    `(batch, outputs)`.

    Args:
        network: The teacher's.
        size_px: Side of the student's images.
    """
    images = keras.Input((size_px, size_px, 3), dtype="float32")
    inputs: Any = images
    if network.size_px != size_px:
        inputs = keras.layers.Resizing(
            network.size_px,
            network.size_px,
            interpolation=network.interpolation,
            antialias=network.antialias,
            dtype="float32",
        )(inputs)
        # Bicubic overshoots.
        inputs = ops.clip(inputs, 0.0, 255.0)
    if (network.scale, network.offset) != _PLAIN:
        scale, offset = (
            ops.convert_to_tensor(values, "float32")
            for values in (network.scale, network.offset)
        )
        inputs = inputs * scale + offset
    outputs = ops.cast(network.model(inputs, training=False), "float32")
    teacher = keras.Model(images, outputs, name="teacher")
    teacher.trainable = False
    return teacher
