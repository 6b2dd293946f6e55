"""MixUp and CutMix: two images and their labels become one.

One draw serves a whole batch, and every row is mixed with the row that mirrors it in
the batch, as in timm's batch mode. The images stay uint8 by rounding.
Source: arXiv:1710.09412 (MixUp), arXiv:1905.04899 (CutMix).
"""

from __future__ import annotations

import functools

import tensorflow as tf

from ..recipes.augmentation import Augmentation
from .random_crop import to_uint8


def mixup_cutmix(
    images: tf.Tensor,
    labels: tf.Tensor,
    seed: tf.Tensor,
    classes: int,
    augmentation: Augmentation,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns a batch mixed with itself in reverse order.

    Args:
        images: uint8 `(batch, height, width, 3)`.
        labels: int32 `(batch,)`; or float32, `(batch, classes)` or numbers `(batch,)`,
            which are mixed as they are.
        seed: int64 `(2,)`; the same seed mixes the same way.
        classes: How many there are.
        augmentation: Its `mixup`, `cutmix` and two probabilities are used.

    Returns:
        (images uint8, labels float32 `(batch, classes)`, each row summing to 1; others
        in their own shape).
    """
    whether, which, share_seed, place_seed = tf.unstack(tf.random.split(seed, 4))
    one_hot = labels if labels.dtype.is_floating else tf.one_hot(labels, classes)
    cuts = _takes_cutmix(which, augmentation)
    share = tf.where(
        cuts,
        _beta(share_seed, augmentation.cutmix),
        _beta(share_seed, augmentation.mixup),
    )
    skipped = tf.random.stateless_uniform([], whether) >= augmentation.mix_probability
    share = tf.where(skipped, 1.0, share)
    images, share = tf.cond(
        cuts,
        lambda: cutmix(images, share, place_seed),
        lambda: (mixup(images, share), share),
    )
    return images, share * one_hot + (1.0 - share) * one_hot[::-1]


def _takes_cutmix(seed: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    if augmentation.mixup > 0 and augmentation.cutmix > 0:
        draw = tf.random.stateless_uniform([], seed)
        return draw < augmentation.mix_switch_probability
    return tf.constant(augmentation.cutmix > 0)


def _beta(seed: tf.Tensor, alpha: float) -> tf.Tensor:
    """Draws from Beta(alpha, alpha), as the share of two equal Gamma draws."""
    if alpha <= 0:
        return tf.constant(1.0)
    # For a small alpha both draws may round to zero in float32.
    pair = tf.random.stateless_gamma([2], seed, alpha, dtype=tf.float64)
    total = tf.reduce_sum(pair)
    return tf.cast(tf.math.divide_no_nan(pair[0], total), tf.float32)


# Compiled, these are one loop over the pixels; in steps a batch would leave the cache.
_compiled = functools.partial(
    tf.function, autograph=False, jit_compile=True, reduce_retracing=True
)


@_compiled
def mixup(images: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """Returns `share` of each image plus the rest of its mirror in the batch."""
    own, other = (tf.cast(each, tf.float32) for each in (images, images[::-1]))
    return to_uint8(share * own + (1.0 - share) * other)


def cutmix(
    images: tf.Tensor, share: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Pastes a box of each image's mirror in the batch over it.

    The box has the image's aspect and 1 - share of its area, and its middle lies
    anywhere; what sticks out is cut off.

    Returns:
        (images, the share of the area that each image kept of its own).
    """
    size = tf.cast(tf.shape(images)[1:3], tf.float32)
    places = tf.random.stateless_uniform([2], seed)
    return paste_around(images, share, tf.cast(tf.floor(places * size), tf.int32))


def paste_around(
    images: tf.Tensor, share: tf.Tensor, middle: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Does what `cutmix` does about a given middle, int32 `(2,)`."""
    size = tf.shape(images)[1:3]
    side = tf.cast(tf.cast(size, tf.float32) * tf.sqrt(1.0 - share), tf.int32)
    first, last = middle - side // 2, middle + (side + 1) // 2
    top, left = tf.unstack(tf.clip_by_value(first, 0, size))
    bottom, right = tf.unstack(tf.clip_by_value(last, 0, size))
    pasted = _pasted(images, tf.stack([top, left, bottom, right]))
    area = tf.cast((bottom - top) * (right - left), tf.float32)
    kept = 1.0 - area / tf.cast(size[0] * size[1], tf.float32)
    return pasted, kept


@_compiled
def _pasted(images: tf.Tensor, box: tf.Tensor) -> tf.Tensor:
    top, left, bottom, right = tf.unstack(box)
    shape = tf.shape(images)
    # Whole rows are chosen from, three levels a pixel: a loop over a pixel's levels
    # would be run for every pixel.
    lines = tf.reshape(images, (shape[0], shape[1], 3 * shape[2]))
    rows = tf.range(shape[1])[:, None]
    levels = tf.range(3 * shape[2])[None, :]
    inside = (rows >= top) & (rows < bottom) & (levels >= 3 * left)
    inside &= levels < 3 * right
    return tf.reshape(tf.where(inside, lines[::-1], lines), shape)
