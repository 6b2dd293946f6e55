"""Random changes of training pictures: how what a recipe asks for is done.

Every draw comes from a seed that the caller makes of the run's seed, the epoch and
the example's position in it, so that the result does not depend on which thread or
which replica does the work.
"""

from __future__ import annotations

import tensorflow as tf

from keras_convnext.preprocessing import Preprocessing

from ..recipes import rand_augment_policy
from ..recipes.augmentation import Augmentation
from . import color_jitter, rand_augment, random_crop, random_erasing
from .random_crop import Window

# Each kind of change draws from a seed of its own.
_STREAMS = ("crop", "flip", "shift", "rand_augment", "color_jitter", "erasing")


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
        return random_crop.drawn(
            height, width, drawn_by, scale, augmentation.crop_ratio
        )

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
        picture = random_crop.evaluated(picture, preprocessing)
    else:
        picture = random_crop.resized(
            picture, preprocessing.size_px, preprocessing.interpolation
        )
    if augmentation.flip:
        mirrored = tf.random.stateless_uniform([], streams["flip"]) < 0.5
        picture = _mirrored_where(mirrored, picture)
    if augmentation.shift_px:
        picture = random_shift(picture, streams["shift"], augmentation.shift_px)
    if augmentation.rand_augment:
        policy = rand_augment_policy.parsed(augmentation.rand_augment)
        red, green, blue = (min(255, round(255 * mean)) for mean in preprocessing.mean)
        picture = rand_augment.applied(
            picture, streams["rand_augment"], policy, (red, green, blue)
        )
    elif augmentation.color_jitter:
        picture = color_jitter.jittered(
            picture, streams["color_jitter"], augmentation.color_jitter
        )
    if augmentation.random_erasing:
        picture = random_erasing.erased(
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
