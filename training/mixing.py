"""MixUp and CutMix: two pictures and their labels become one.

One draw serves a whole batch, and every row is mixed with the row that mirrors it in
the batch, as in timm's batch mode. The pictures stay uint8 by rounding.
Source: arXiv:1710.09412 (MixUp), arXiv:1905.04899 (CutMix).
"""

from __future__ import annotations

import tensorflow as tf

from .augment import Augmentation
from .cropping import to_uint8


def mixed(
    images: tf.Tensor,
    labels: tf.Tensor,
    seed: tf.Tensor,
    classes: int,
    augmentation: Augmentation,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns a batch mixed with itself in reverse order.

    Args:
        images: uint8 `(batch, height, width, 3)`.
        labels: int32 `(batch,)`.
        seed: int64 `(2,)`; the same seed mixes the same way.
        classes: How many there are.
        augmentation: Its `mixup`, `cutmix` and two probabilities are used.

    Returns:
        (images uint8, labels float32 `(batch, classes)`, each row summing to 1).
    """
    whether, which, share_seed, place_seed = tf.unstack(tf.random.split(seed, 4))
    one_hot = tf.one_hot(labels, classes)
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
        lambda: cut_and_pasted(images, share, place_seed),
        lambda: (blended(images, share), share),
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


def blended(images: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """Returns `share` of each picture plus the rest of its mirror in the batch."""
    own = tf.cast(images, tf.float32)
    return to_uint8(share * own + (1.0 - share) * own[::-1])


def cut_and_pasted(
    images: tf.Tensor, share: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Pastes a box of each picture's mirror in the batch over it.

    The box has the picture's aspect and 1 - share of its area, and its middle lies
    anywhere; what sticks out is cut off.

    Returns:
        (images, the share of the area that each picture kept of its own).
    """
    size = tf.shape(images)[1:3]
    side = tf.cast(tf.cast(size, tf.float32) * tf.sqrt(1.0 - share), tf.int32)
    places = tf.random.stateless_uniform([2], seed)
    middle = tf.cast(tf.floor(places * tf.cast(size, tf.float32)), tf.int32)
    first, last = middle - side // 2, middle + side // 2
    rows, columns = tf.range(size[0]), tf.range(size[1])
    box = ((rows >= first[0]) & (rows < last[0]))[:, None] & (
        (columns >= first[1]) & (columns < last[1])
    )
    kept = 1.0 - tf.reduce_mean(tf.cast(box, tf.float32))
    return tf.where(box[None, :, :, None], images[::-1], images), kept
