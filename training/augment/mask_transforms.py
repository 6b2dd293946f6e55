"""Random changes of an image and its mask, which both go through alike.

The rules are mmsegmentation's, whole numbers included. Only the part that a crop shows
is resized: the result is that of resizing all of it.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from keras_convnext.preprocessing import LONGEST_TO_SHORTEST

from ..recipes.mask_augmentation import MaskAugmentation
from . import photometric_distortion
from .random_crop import to_uint8

# Crops are drawn again so often before one is taken as it is.
_TRIES = 10
# Each kind of change draws from a seed of its own.
_STREAMS = ("ratio", "crop", "flip", "photometric")


class Masks(NamedTuple):
    """What the numbers of masks are.

    Attributes:
        classes: Number of classes.
        ignored: The label of pixels that do not count.
    """

    classes: int
    ignored: int


def augment(
    image: tf.Tensor,
    mask: tf.Tensor,
    seed: tf.Tensor,
    augmentation: MaskAugmentation,
    *,
    size_px: int,
    fill: tuple[int, int, int],
    masks: Masks,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns one training view of an image with its mask.

    Args:
        image: uint8 `(height, width, 3)`.
        mask: Labels `(height, width)`.
        seed: int64 `(2,)`; the same seed gives the same view.
        augmentation: What to do.
        size_px: Side of the square.
        fill: Color right of and below an image that is smaller than the square.
        masks: What the labels are.

    Returns:
        uint8 `(size_px, size_px, 3)` and labels `(size_px, size_px)`.
    """
    seeds = tf.unstack(tf.random.split(seed, len(_STREAMS)))
    streams = dict(zip(_STREAMS, seeds, strict=True))
    sides = tf.shape(mask)
    low, high = augmentation.ratio_range
    drawn = tf.random.stateless_uniform([], streams["ratio"], dtype=tf.float64)
    resized = resized_sides(sides[0], sides[1], size_px, low + drawn * (high - low))
    offsets = draw_offsets(resized, size_px, streams["crop"])
    place = choose_crop(
        mask, resized, offsets, size_px, augmentation.crop_max_share, masks.classes
    )
    image = resize_image_part(image, resized, place, size_px)
    mask = resize_mask_part(mask, resized, place, size_px)
    if augmentation.flip:
        mirrored = tf.random.stateless_uniform([], streams["flip"]) < 0.5
        image, mask = tf.cond(
            mirrored,
            lambda: (tf.reverse(image, [1]), tf.reverse(mask, [1])),
            lambda: (image, mask),
        )
    if augmentation.photometric:
        distortion = photometric_distortion.draw_distortion(streams["photometric"])
        image = photometric_distortion.distort(image, distortion)
    return pad(image, mask, size_px, fill, masks.ignored)


def resized_sides(
    height: tf.Tensor, width: tf.Tensor, size_px: int, ratio: tf.Tensor
) -> tf.Tensor:
    """Returns height and width of an image resized with its ratio kept, int32 `(2,)`.

    Args:
        height: Of the image, int32.
        width: Of the image, int32.
        size_px: The shorter side at ratio 1, as long as the longer one stays within
            four times as much.
        ratio: Factor of both limits, which are then cut off to whole numbers.

    Source: mmsegmentation 1.2.2, RandomResize; mmcv 2.1, its imrescale.
    """
    ratio = tf.cast(ratio, tf.float64)
    longest = tf.floor(LONGEST_TO_SHORTEST * size_px * ratio)
    return sides_within(tf.stack([height, width]), tf.floor(size_px * ratio), longest)


def sides_within(
    sides: tf.Tensor, shortest: tf.Tensor | int, longest: tf.Tensor | int
) -> tf.Tensor:
    """Returns height and width of an image resized with its ratio kept, int32 `(2,)`.

    Args:
        sides: Height and width of the image, int32 `(2,)`.
        shortest: What its shorter side becomes, as long as the longer one stays within
            `longest`.
        longest: What its longer side becomes otherwise.
    """
    sides = tf.cast(sides, tf.float64)
    shortest, longest = tf.cast(shortest, tf.float64), tf.cast(longest, tf.float64)
    factor = tf.minimum(longest / tf.reduce_max(sides), shortest / tf.reduce_min(sides))
    return tf.maximum(tf.cast(sides * factor + 0.5, tf.int32), 1)


def draw_offsets(resized: tf.Tensor, size_px: int, seed: tf.Tensor) -> tf.Tensor:
    """Draws top and left of the crops to be tried, int32 `(11, 2)`.

    Every whole offset from 0 to what an image has more than the crop is as likely.
    """
    room = tf.maximum(resized - size_px, 0)
    places = tf.random.stateless_uniform([_TRIES + 1, 2], seed, dtype=tf.float64)
    drawn = tf.cast(tf.floor(places * tf.cast(room + 1, tf.float64)), tf.int32)
    return tf.minimum(drawn, room)


def choose_crop(
    mask: tf.Tensor,
    resized: tf.Tensor,
    offsets: tf.Tensor,
    size_px: int,
    max_share: float,
    classes: int,
) -> tf.Tensor:
    """Returns the first crop with two classes and none above the share, else the last.

    Args:
        mask: Labels `(height, width)`, not resized.
        resized: Height and width after resizing.
        offsets: Top and left of each crop, int32 `(tries, 2)`.
        size_px: Side of a crop.
        max_share: What the most frequent class may have of the labeled pixels, less
            than that; from 1 on the first crop is taken.
        classes: Labels from here on do not count.

    Returns:
        Its top and left, int32 `(2,)`.

    Source: mmsegmentation 1.2.2, RandomCrop with cat_max_ratio.
    """
    if max_share >= 1:
        return offsets[0]

    def is_poor(number: tf.Tensor) -> tf.Tensor:
        part = resize_mask_part(mask, resized, offsets[number], size_px)
        counts = tf.math.bincount(
            tf.cast(tf.reshape(part, [-1]), tf.int32),
            minlength=classes,
            maxlength=classes,
        )
        most = tf.cast(tf.reduce_max(counts), tf.float64)
        total = tf.cast(tf.reduce_sum(counts), tf.float64)
        is_alone = tf.math.count_nonzero(counts) < 2
        return is_alone | (most / tf.maximum(total, 1.0) >= max_share)

    last = offsets.shape[0] - 1
    (number,) = tf.while_loop(
        lambda number: (number < last) & is_poor(number),
        lambda number: (number + 1,),
        (tf.constant(0),),
    )
    return offsets[number]


def resize_mask_part(
    mask: tf.Tensor, resized: tf.Tensor, place: tf.Tensor, size_px: int
) -> tf.Tensor:
    """Returns a part of a resized mask: the nearest label, as OpenCV finds it.

    Args:
        mask: Labels `(height, width)`.
        resized: Height and width of the whole after resizing, int32 `(2,)`.
        place: Top and left of the part, int32 `(2,)`.
        size_px: Its side; less where the image ends before.
    """
    sides = tf.shape(mask)
    for axis in range(2):
        nearest = nearest_places(sides, resized, place, size_px, axis)
        mask = tf.gather(mask, nearest, axis=axis)
    return mask


def nearest_places(
    sides: tf.Tensor,
    resized: tf.Tensor,
    place: tf.Tensor,
    size_px: tf.Tensor | int,
    axis: int,
) -> tf.Tensor:
    """Returns the row or column that each one of a part of a resized mask shows.

    Args:
        sides: Height and width of the mask, int32.
        resized: As in `resize_mask_part`.
        place: As there.
        size_px: The part's side, or height and width.
        axis: 0 for rows, 1 for columns.
    """
    steps = tf.cast(_places(resized, place, size_px, axis), tf.float64)
    factor = tf.cast(resized[axis], tf.float64) / tf.cast(sides[axis], tf.float64)
    # From the corner and not from the center of a pixel, and by a reciprocal.
    nearest = tf.cast(tf.floor(steps * (1.0 / factor)), tf.int32)
    return tf.minimum(nearest, sides[axis] - 1)


def resize_image_part(
    image: tf.Tensor, resized: tf.Tensor, place: tf.Tensor, size_px: tf.Tensor | int
) -> tf.Tensor:
    """Returns a part of a resized image, bilinearly and without antialiasing.

    Args:
        image: uint8 `(height, width, 3)`.
        resized: As in `resize_mask_part`.
        place: As there.
        size_px: As in `nearest_places`.

    Returns:
        uint8, rounded. OpenCV's weights have 11 bits: it may be one level off.
    """
    sides = tf.shape(image)
    for axis in range(2):
        steps = tf.cast(_places(resized, place, size_px, axis), tf.float64)
        factor = tf.cast(sides[axis], tf.float64) / tf.cast(resized[axis], tf.float64)
        center = (steps + 0.5) * factor - 0.5
        lower = tf.floor(center)
        weight = tf.cast(center - lower, tf.float32)
        first, last = tf.cast(lower, tf.int32), sides[axis] - 1
        below = tf.gather(image, tf.clip_by_value(first, 0, last), axis=axis)
        above = tf.gather(image, tf.clip_by_value(first + 1, 0, last), axis=axis)
        below, above = tf.cast(below, tf.float32), tf.cast(above, tf.float32)
        weight = tf.reshape(weight, [-1, 1, 1] if axis == 0 else [1, -1, 1])
        image = below + (above - below) * weight
    return to_uint8(image)


def _places(
    resized: tf.Tensor, place: tf.Tensor, size_px: tf.Tensor | int, axis: int
) -> tf.Tensor:
    part = tf.broadcast_to(size_px, [2])
    return tf.range(place[axis], tf.minimum(place[axis] + part[axis], resized[axis]))


def pad(
    image: tf.Tensor,
    mask: tf.Tensor,
    size_px: int,
    fill: tuple[int, int, int],
    ignored: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Fills an image up to a square, right and below, and its mask likewise.

    mmsegmentation pads with 0 after normalizing, which is the mean color. The networks
    here normalize inside, so the color is padded with: rounded to 8 bits, it is within
    0.01 of 0 after ImageNet's normalization.

    Args:
        image: uint8 `(height, width, 3)`, no side above `size_px`.
        mask: Labels `(height, width)`.
        size_px: Side of the square.
        fill: The mean color.
        ignored: The label of what is added.
    """
    sides = tf.shape(mask)
    missing = [[0, size_px - sides[0]], [0, size_px - sides[1]]]
    channels = [
        tf.pad(channel, missing, constant_values=level)
        for channel, level in zip(tf.unstack(image, 3, axis=-1), fill, strict=True)
    ]
    mask = tf.pad(mask, missing, constant_values=tf.cast(ignored, mask.dtype))
    return (
        tf.ensure_shape(tf.stack(channels, axis=-1), (size_px, size_px, 3)),
        tf.ensure_shape(mask, (size_px, size_px)),
    )
