"""Random changes of training images: how what a recipe asks for is done.

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
    """Returns the function that chooses the part to decode; None for the whole image.

    Args:
        seed: int64 `(2,)`, the one that `augment` gets.
        augmentation: Its crop is used.
    """
    scale = augmentation.crop_scale
    if scale is None:
        return None

    def window(
        height: tf.Tensor, width: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        drawn_by = _streams(seed)["crop"]
        return random_crop.sample_crop(
            height, width, drawn_by, scale, augmentation.crop_ratio
        )

    return window


def augment(
    image: tf.Tensor,
    seed: tf.Tensor,
    augmentation: Augmentation,
    preprocessing: Preprocessing,
) -> tf.Tensor:
    """Returns one training view of an image.

    Args:
        image: uint8 `(height, width, 3)`: the part that `crop` chose.
        seed: int64 `(2,)`; the same seed gives the same view.
        augmentation: What to do.
        preprocessing: Gives the size, and the view where nothing is cropped.

    Returns:
        uint8 `(size_px, size_px, 3)`.
    """
    streams = _streams(seed)
    if augmentation.crop_scale is None:
        image = random_crop.evaluation_pixels(image, preprocessing)
    else:
        image = random_crop.resize_to_square(
            image, preprocessing.size_px, preprocessing.interpolation
        )
    if augmentation.flip:
        mirrored = tf.random.stateless_uniform([], streams["flip"]) < 0.5
        image = _mirrored_where(mirrored, image)
    if augmentation.shift_px:
        image = random_shift(image, streams["shift"], augmentation.shift_px)
    if augmentation.rand_augment:
        policy = rand_augment_policy.parse_policy(augmentation.rand_augment)
        red, green, blue = (min(255, round(255 * mean)) for mean in preprocessing.mean)
        image = rand_augment.apply_rand_augment(
            image, streams["rand_augment"], policy, (red, green, blue)
        )
    elif augmentation.color_jitter:
        image = color_jitter.jitter_colors(
            image, streams["color_jitter"], augmentation.color_jitter
        )
    if augmentation.random_erasing:
        image = random_erasing.random_erase(
            image, streams["erasing"], augmentation.random_erasing, preprocessing
        )
    return image


def _mirrored_where(chosen: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
    return tf.cond(chosen, lambda: tf.reverse(image, [1]), lambda: image)


def _streams(seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns a seed of its own for each kind of change."""
    seeds = tf.unstack(tf.random.split(seed, len(_STREAMS)))
    return dict(zip(_STREAMS, seeds, strict=True))


def random_shift(image: tf.Tensor, seed: tf.Tensor, shift_px: int) -> tf.Tensor:
    """Returns an image moved by up to `shift_px` in each direction.

    What comes in at the border is the image's reflection.

    Args:
        image: `(size, size, 3)`, with `size` above `shift_px`.
        seed: int64 `(2,)`.
        shift_px: The longest move along each axis.
    """
    around = [[shift_px, shift_px], [shift_px, shift_px], [0, 0]]
    padded = tf.pad(image, around, mode="REFLECT")
    offset = tf.random.stateless_uniform(
        [2], seed, maxval=2 * shift_px + 1, dtype=tf.int32
    )
    height, width, channels = image.shape
    return tf.slice(padded, tf.concat([offset, [0]], 0), [height, width, channels])
