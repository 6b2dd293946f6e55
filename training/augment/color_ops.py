"""The operations of RandAugment on colors, as Pillow computes them.

Each takes and returns uint8 `(height, width, 3)`. They round, or cut fractions off,
where Pillow does, so that a recipe's magnitudes mean what they mean in timm.
"""

from __future__ import annotations

import tensorflow as tf


def _places(image: tf.Tensor) -> tf.Tensor:
    """Returns the index of each level in the joined tables of the three channels.

    int32 `(height, 3 * width)`.
    """
    shape = tf.shape(image)
    # Whole rows are added; three numbers spread over all pixels would take far longer.
    channels = tf.tile(256 * tf.range(3), shape[1:2])
    return tf.cast(tf.reshape(image, (shape[0], -1)), tf.int32) + channels


# Compiled, it is one loop over the pixels, several times as fast as in steps.
@tf.function(autograph=False, jit_compile=True, reduce_retracing=True)
def _looked_up(image: tf.Tensor, tables: tf.Tensor) -> tf.Tensor:
    """Returns each channel's levels replaced by its table, uint8 `(3, 256)`."""
    found = tf.gather(tf.reshape(tables, [-1]), _places(image))
    return tf.reshape(found, tf.shape(image))


def auto_contrast(image: tf.Tensor) -> tf.Tensor:
    """Stretches each channel over 0..255; one of a single level is left alone."""
    lowest = tf.cast(tf.reduce_min(image, axis=[0, 1]), tf.float64)[:, None]
    highest = tf.cast(tf.reduce_max(image, axis=[0, 1]), tf.float64)[:, None]
    levels = tf.range(256, dtype=tf.float64)[None]
    # The order of these operations decides which fractions come out whole.
    scale = tf.math.divide_no_nan(tf.constant(255.0, tf.float64), highest - lowest)
    stretched = tf.clip_by_value(levels * scale - lowest * scale, 0.0, 255.0)
    tables = tf.where(highest > lowest, tf.floor(stretched), levels)
    return _looked_up(image, tf.cast(tables, tf.uint8))


def equalize(image: tf.Tensor) -> tf.Tensor:
    """Spreads the levels of each channel so that all are about equally frequent."""
    places = tf.reshape(_places(image), [-1])
    counts = tf.math.bincount(places, minlength=768, maxlength=768)
    counts = tf.reshape(counts, [3, 256])
    highest = tf.cast(tf.reduce_max(image, axis=[0, 1]), tf.int32)
    last = tf.gather(counts, highest, batch_dims=1)
    step = (tf.reduce_sum(counts, axis=1) - last) // 255
    below = tf.cumsum(counts, axis=1, exclusive=True)
    spread = (step[:, None] // 2 + below) // tf.maximum(step, 1)[:, None]
    tables = tf.where(step[:, None] > 0, tf.minimum(spread, 255), tf.range(256)[None])
    return _looked_up(image, tf.cast(tables, tf.uint8))


def invert(image: tf.Tensor) -> tf.Tensor:
    """Turns every level into 255 minus itself."""
    return 255 - image


def posterize(image: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Keeps the upper `bits`, an int32 from 0 to 8, of every level."""
    mask = 256 - tf.bitwise.left_shift(1, 8 - bits)
    return tf.bitwise.bitwise_and(image, tf.cast(mask, tf.uint8))


def solarize(image: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
    """Inverts the levels from `threshold` on, an int32 from 0 to 256."""
    return tf.where(tf.cast(image, tf.int32) < threshold, image, 255 - image)


def solarize_add(image: tf.Tensor, added: tf.Tensor) -> tf.Tensor:
    """Adds `added`, an int32, to the levels below 128."""
    lighter = tf.minimum(tf.cast(image, tf.int32) + added, 255)
    return tf.where(image < 128, tf.cast(lighter, tf.uint8), image)


def gray(image: tf.Tensor) -> tf.Tensor:
    """Returns the luminance in all three channels, whole numbers, float32.

    Source: ITU-R BT.601.
    """
    shares = tf.constant([[19595.0], [38470.0], [7471.0]]) * tf.ones([1, 3])
    # All sums are whole numbers below 2**24, which float32 holds exactly.
    total = tf.linalg.matmul(tf.reshape(tf.cast(image, tf.float32), (-1, 3)), shares)
    return tf.reshape(tf.floor((total + 2.0**15) / 2.0**16), tf.shape(image))


def _enhanced(image: tf.Tensor, plain: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Returns plain + factor * (image - plain), cut off to whole levels."""
    moved = plain + factor * (tf.cast(image, tf.float32) - plain)
    return tf.cast(tf.clip_by_value(moved, 0.0, 255.0), tf.uint8)


def color(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Fades colors to gray below a factor of 1, strengthens them above."""
    return _enhanced(image, gray(image), factor)


def contrast(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Moves levels to the mean luminance below a factor of 1, from it above."""
    mean = tf.reduce_mean(tf.cast(gray(image), tf.float64))
    return _enhanced(image, tf.cast(tf.floor(mean + 0.5), tf.float32), factor)


def brightness(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiplies every level by the factor."""
    return _enhanced(image, tf.zeros([]), factor)


def sharpness(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blurs below a factor of 1, sharpens above; the border is left alone."""
    shape = tf.shape(image)
    # Whole rows are added; a loop over three numbers would be run for every pixel.
    lines = tf.reshape(image, (shape[0], 3 * shape[1]))
    whole = tf.cast(lines, tf.float32)
    rows = whole[:-2] + whole[1:-1] + whole[2:]
    box = rows[:, :-6] + rows[:, 3:-3] + rows[:, 6:]
    inner = whole[1:-1, 3:-3]
    # The middle counts 5, its eight neighbors 1, divided by 13 and rounded.
    smooth = tf.floor((2 * (box + 4 * inner) + 13) / 26)
    changed = _enhanced(inner, smooth, factor)
    middle = tf.concat([lines[1:-1, :3], changed, lines[1:-1, -3:]], axis=1)
    return tf.reshape(tf.concat([lines[:1], middle, lines[-1:]], axis=0), shape)
