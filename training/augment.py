"""Random changes of training pictures: what a recipe asks for, and how it is done.

Every draw comes from a seed that the caller makes of the run's seed, the epoch and
the example's position in it, so that the result does not depend on which thread or
which replica does the work.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import tensorflow as tf

from keras_convnext import image
from keras_convnext.preprocessing import Preprocessing

# How often a crop is drawn before the middle of the picture is taken instead, as in
# the reference implementations of the random resized crop.
_CROP_ATTEMPTS = 10


@dataclass(frozen=True)
class Augmentation:
    """What happens to a training picture; nothing by default.

    Attributes:
        crop_scale: Random resized crop: smallest and largest share of the picture's
            area. None takes the view that evaluation takes.
        crop_ratio: Smallest and largest width over height of that crop.
        flip: Mirror every second picture, left to right.
        shift_px: Move by up to so many pixels, reflecting at the border.
        mixup: Alpha of MixUp's Beta distribution; 0 is off.
        cutmix: Alpha of CutMix's Beta distribution; 0 is off.
        mix_probability: Share of batches that are mixed at all.
        mix_switch_probability: Share of mixed batches that take CutMix where both
            are on.
    """

    crop_scale: tuple[float, float] | None = None
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: bool = False
    shift_px: int = 0
    mixup: float = 0.0
    cutmix: float = 0.0
    mix_probability: float = 1.0
    mix_switch_probability: float = 0.5

    def __post_init__(self) -> None:
        problems = []
        if self.crop_scale is not None and not _is_range(self.crop_scale, most=1.0):
            problems.append(
                f"crop_scale is {self.crop_scale}, not two shares of the area, "
                "0 < smallest <= largest <= 1"
            )
        if not _is_range(self.crop_ratio):
            problems.append(
                f"crop_ratio is {self.crop_ratio}, not two ratios, "
                "0 < smallest <= largest"
            )
        for name in ("shift_px", "mixup", "cutmix"):
            if getattr(self, name) < 0:
                problems.append(f"{name} is {getattr(self, name)}, not 0 or more")
        for name in ("mix_probability", "mix_switch_probability"):
            if not 0 <= getattr(self, name) <= 1:
                problems.append(f"{name} is {getattr(self, name)}, not in 0..1")
        if problems:
            raise ValueError(f"Not an augmentation: {'; '.join(problems)}.")

    @property
    def mixes(self) -> bool:
        """Whether pictures are mixed, which makes the labels soft."""
        return self.mix_probability > 0 and (self.mixup > 0 or self.cutmix > 0)


def _is_range(pair: tuple[float, float], most: float = math.inf) -> bool:
    return len(pair) == 2 and 0 < pair[0] <= pair[1] <= most


def augmented(
    picture: tf.Tensor,
    seed: tf.Tensor,
    augmentation: Augmentation,
    preprocessing: Preprocessing,
) -> tf.Tensor:
    """Returns one training view of a picture.

    Args:
        picture: uint8 `(height, width, 3)`.
        seed: int64 `(2,)`; the same seed gives the same view.
        augmentation: What to do.
        preprocessing: Gives the size, and the view where nothing is cropped.

    Returns:
        uint8 `(size_px, size_px, 3)`.
    """
    crop_seed, flip_seed, shift_seed = tf.unstack(tf.random.split(seed, 3))
    if augmentation.crop_scale is not None:
        picture = random_resized_crop(
            picture,
            crop_seed,
            preprocessing.size_px,
            augmentation.crop_scale,
            augmentation.crop_ratio,
            preprocessing.interpolation,
        )
    else:
        picture = evaluated(picture, preprocessing)
    if augmentation.flip:
        mirrored = tf.random.stateless_uniform([], flip_seed) < 0.5
        picture = tf.where(mirrored, picture[:, ::-1], picture)
    if augmentation.shift_px:
        picture = random_shift(picture, shift_seed, augmentation.shift_px)
    return picture


def evaluated(picture: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    """Returns the view that evaluation takes, rounded to uint8."""
    return to_uint8(image.evaluation_view(picture, preprocessing))


def to_uint8(picture: tf.Tensor) -> tf.Tensor:
    """Returns float pixels rounded and held within 0..255."""
    return tf.saturate_cast(tf.round(picture), tf.uint8)


def random_resized_crop(
    picture: tf.Tensor,
    seed: tf.Tensor,
    size_px: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    interpolation: str,
) -> tf.Tensor:
    """Returns a random part of a picture, resized to a square.

    Args:
        picture: uint8 `(height, width, 3)`.
        seed: int64 `(2,)`.
        size_px: Side of the square.
        scale: Smallest and largest share of the area.
        ratio: Smallest and largest width over height.
        interpolation: "bicubic" or "bilinear", antialiased.

    Returns:
        uint8 `(size_px, size_px, 3)`.
    """
    shape = tf.shape(picture)
    top, left, height, width = crop_window(shape[0], shape[1], seed, scale, ratio)
    part = picture[top : top + height, left : left + width]
    resized = tf.image.resize(
        part, [size_px, size_px], method=interpolation, antialias=True
    )
    return to_uint8(resized)


def crop_window(
    height: tf.Tensor,
    width: tf.Tensor,
    seed: tf.Tensor,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Draws a window: area uniform in `scale`, logarithm of the aspect uniform.

    The first of ten draws that fits is taken. Where none fits it is the largest
    window in the middle whose aspect lies within `ratio`.
    Source: Inception's crop as torchvision and timm draw it.

    Args:
        height: Of the picture, int32.
        width: Of the picture, int32.
        seed: int64 `(2,)`.
        scale: Smallest and largest share of the area.
        ratio: Smallest and largest width over height.

    Returns:
        Top, left, height and width, int32 scalars.
    """
    size_seed, place_seed = tf.unstack(tf.random.split(seed, 2))
    draws = tf.random.stateless_uniform([2, _CROP_ATTEMPTS], size_seed)
    tall, wide = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    areas = tall * wide * (scale[0] + draws[0] * (scale[1] - scale[0]))
    low, high = math.log(ratio[0]), math.log(ratio[1])
    ratios = tf.exp(low + draws[1] * (high - low))
    widths = tf.cast(tf.round(tf.sqrt(areas * ratios)), tf.int32)
    heights = tf.cast(tf.round(tf.sqrt(areas / ratios)), tf.int32)
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    first = tf.argmax(fits)

    nearest = tf.clip_by_value(wide / tall, ratio[0], ratio[1])
    middle_width = tf.minimum(wide, tf.round(tall * nearest))
    middle_height = tf.minimum(tall, tf.round(wide / nearest))
    middle_width = tf.cast(tf.maximum(middle_width, 1.0), tf.int32)
    middle_height = tf.cast(tf.maximum(middle_height, 1.0), tf.int32)

    any_fits = tf.reduce_any(fits)
    crop_height = tf.where(any_fits, heights[first], middle_height)
    crop_width = tf.where(any_fits, widths[first], middle_width)
    room = tf.stack([height - crop_height, width - crop_width])
    places = tf.random.stateless_uniform([2], place_seed)
    # Every whole offset from 0 to the room has the same chance.
    drawn = tf.cast(tf.floor(places * tf.cast(room + 1, tf.float32)), tf.int32)
    offset = tf.where(any_fits, tf.minimum(drawn, room), room // 2)
    return offset[0], offset[1], crop_height, crop_width


def random_shift(picture: tf.Tensor, seed: tf.Tensor, shift_px: int) -> tf.Tensor:
    """Returns a picture moved by up to `shift_px` in each direction.

    What comes in at the border is the picture's reflection.

    Args:
        picture: `(size, size, 3)`, with `size` above `shift_px`.
        seed: int64 `(2,)`.
        shift_px: The longest move along each axis.
    """
    around = [[shift_px, shift_px], [shift_px, shift_px], [0, 0]]
    padded = tf.pad(picture, around, mode="REFLECT")
    offset = tf.random.stateless_uniform(
        [2], seed, maxval=2 * shift_px + 1, dtype=tf.int32
    )
    height, width, channels = picture.shape
    return tf.slice(padded, tf.concat([offset, [0]], 0), [height, width, channels])
