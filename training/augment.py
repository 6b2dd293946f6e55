"""Random changes of training pictures: what a recipe asks for, and how it is done.

Every draw comes from a seed that the caller makes of the run's seed, the epoch and
the example's position in it, so that the result does not depend on which thread or
which replica does the work.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import tensorflow as tf

from keras_convnext.preprocessing import Preprocessing

from . import color_jitter, cropping, erasing, rand_augment
from .decoding import Window

_PROBABILITIES = ("random_erasing", "mix_probability", "mix_switch_probability")
# Each kind of change draws from a seed of its own.
_STREAMS = ("crop", "flip", "shift", "rand_augment", "color_jitter", "erasing")


@dataclass(frozen=True)
class Augmentation:
    """What happens to a training picture; nothing by default.

    Attributes:
        crop_scale: Random resized crop: smallest and largest share of the picture's
            area. None takes the view that evaluation takes.
        crop_ratio: Smallest and largest width over height of that crop.
        flip: Mirror every second picture, left to right.
        shift_px: Move by up to so many pixels, reflecting at the border.
        rand_augment: RandAugment in timm's words, such as "rand-m9-mstd0.5-inc1";
            "" is off.
        color_jitter: Largest change of brightness, contrast and colour, 0.4 for up to
            40 %; 0 is off. RandAugment takes its place where both are given, as in
            timm.
        random_erasing: Share of pictures of which a box becomes noise.
        repeats: How often a picture comes up in an epoch, each time changed in
            another way. An epoch stays as long and shows fewer pictures.
            Source: arXiv:1901.09335.
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
    rand_augment: str = ""
    color_jitter: float = 0.0
    random_erasing: float = 0.0
    repeats: int = 1
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
        for name in ("shift_px", "color_jitter", "mixup", "cutmix"):
            if getattr(self, name) < 0:
                problems.append(f"{name} is {getattr(self, name)}, not 0 or more")
        for name in _PROBABILITIES:
            if not 0 <= getattr(self, name) <= 1:
                problems.append(f"{name} is {getattr(self, name)}, not in 0..1")
        if self.repeats < 1:
            problems.append(f"repeats is {self.repeats}, not 1 or more")
        if self.rand_augment:
            try:
                rand_augment.parsed(self.rand_augment)
            except ValueError as problem:
                problems.append(str(problem))
        if problems:
            raise ValueError(f"Not an augmentation: {'; '.join(problems)}.")

    @property
    def mixes(self) -> bool:
        """Whether pictures are mixed, which makes the labels soft."""
        return self.mix_probability > 0 and (self.mixup > 0 or self.cutmix > 0)


def _is_range(pair: tuple[float, float], most: float = math.inf) -> bool:
    return len(pair) == 2 and 0 < pair[0] <= pair[1] <= most


def crop(seed: tf.Tensor, augmentation: Augmentation) -> Window | None:
    """Returns what chooses the part of a picture to decode; None for all of it.

    Args:
        seed: int64 `(2,)`, the one that `augmented` gets.
        augmentation: Its crop is used.
    """
    scale = augmentation.crop_scale
    if scale is None:
        return None

    def window(
        height: tf.Tensor, width: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        drawn_by = _streams(seed)["crop"]
        return cropping.drawn(height, width, drawn_by, scale, augmentation.crop_ratio)

    return window


def augmented(
    picture: tf.Tensor,
    seed: tf.Tensor,
    augmentation: Augmentation,
    preprocessing: Preprocessing,
) -> tf.Tensor:
    """Returns one training view of a picture.

    Args:
        picture: uint8 `(height, width, 3)`: the part that `crop` chose.
        seed: int64 `(2,)`; the same seed gives the same view.
        augmentation: What to do.
        preprocessing: Gives the size, and the view where nothing is cropped.

    Returns:
        uint8 `(size_px, size_px, 3)`.
    """
    streams = _streams(seed)
    if augmentation.crop_scale is None:
        picture = cropping.evaluated(picture, preprocessing)
    else:
        picture = cropping.resized(
            picture, preprocessing.size_px, preprocessing.interpolation
        )
    if augmentation.flip:
        mirrored = tf.random.stateless_uniform([], streams["flip"]) < 0.5
        picture = _mirrored_where(mirrored, picture)
    if augmentation.shift_px:
        picture = random_shift(picture, streams["shift"], augmentation.shift_px)
    if augmentation.rand_augment:
        policy = rand_augment.parsed(augmentation.rand_augment)
        red, green, blue = (min(255, round(255 * mean)) for mean in preprocessing.mean)
        picture = rand_augment.applied(
            picture, streams["rand_augment"], policy, (red, green, blue)
        )
    elif augmentation.color_jitter:
        picture = color_jitter.jittered(
            picture, streams["color_jitter"], augmentation.color_jitter
        )
    if augmentation.random_erasing:
        picture = erasing.erased(
            picture, streams["erasing"], augmentation.random_erasing, preprocessing
        )
    return picture


def _mirrored_where(chosen: tf.Tensor, picture: tf.Tensor) -> tf.Tensor:
    return tf.cond(chosen, lambda: tf.reverse(picture, [1]), lambda: picture)


def _streams(seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns a seed of its own for each kind of change."""
    seeds = tf.unstack(tf.random.split(seed, len(_STREAMS)))
    return dict(zip(_STREAMS, seeds, strict=True))


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
