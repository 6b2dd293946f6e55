"""Random changes of an image and the boxes and masks of its objects, all alike.

The rules are mmdetection's, whole numbers included. Masks are not touched here: a view
says which rows and columns of the image's own masks it shows, the nearest ones as
OpenCV finds them, so that a mask is drawn once, in its final size.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from keras_convnext.preprocessing import WHOLE_MODES

from ..recipes.box_augmentation import BoxAugmentation
from . import photometric_distortion
from .mask_transforms import nearest_places, resize_image_part, sides_within

# Shares of size_px: what every second image of DETR's training is first resized to, and
# the least and most of a side of the part that is then cut out of it.
_CROPPED_SCALES = (0.5, 0.625, 0.75)
_CROP_RANGE = (0.48, 0.75)
# After large-scale jitter a box has more than this of either side.
_LEAST_SCALED_PX = 0.01
# Each kind of change draws from a seed of its own; the last one is for the training
# step.
_STREAMS = ("flip", "crop", "cropped_scale", "part", "scale", "photometric", "truth")


class View(NamedTuple):
    """What is to be seen of an image.

    Attributes:
        image: uint8 `(height, width, 3)`.
        boxes: y0, x0, y1, x1 in its pixels, float32 `(objects, 4)`.
        kept: Which of the image's own objects these are, int32 `(objects,)`.
        rows: Which of the image's own rows each one shows, int32 `(height,)`.
        columns: Which of its columns, int32 `(width,)`.
    """

    image: tf.Tensor
    boxes: tf.Tensor
    kept: tf.Tensor
    rows: tf.Tensor
    columns: tf.Tensor


def augment(
    image: tf.Tensor,
    boxes: tf.Tensor,
    seed: tf.Tensor,
    augmentation: BoxAugmentation,
    *,
    size_px: int,
) -> tuple[View, tf.Tensor]:
    """Returns one training view of an image with objects, and a seed for the step.

    Args:
        image: uint8 `(height, width, 3)`.
        boxes: y0, x0, y1, x1 in pixels, float32 `(objects, 4)`.
        seed: int64 `(2,)`; the same seed gives the same view.
        augmentation: What to do.
        size_px: Shorter side in evaluation.

    Returns:
        The view, and a seed int64 `(2,)` that no change was drawn from.
    """
    seeds = tf.unstack(tf.random.split(seed, len(_STREAMS)))
    streams = dict(zip(_STREAMS, seeds, strict=True))
    view = _whole(image, boxes)
    mirrored = tf.random.stateless_uniform([], streams["flip"]) < 0.5
    if augmentation.jitter is not None:
        view = _jitter(view, augmentation.jitter, streams, size_px)
    if augmentation.flip:
        view = tf.cond(mirrored, lambda: mirror(view), lambda: view)
    if augmentation.jitter is None:
        cropped = tf.random.stateless_uniform([], streams["crop"])
        view = tf.cond(
            cropped < augmentation.crop_probability,
            lambda: _draw_part(view, streams, size_px),
            lambda: view,
        )
        low, high = augmentation.scale_range
        steps = max(augmentation.scale_steps - 1, 1)
        factors = [
            low + number * (high - low) / steps
            for number in range(augmentation.scale_steps)
        ]
        view = _resize_to_one(view, factors, streams["scale"], size_px)
    if augmentation.photometric:
        distortion = photometric_distortion.draw_distortion(streams["photometric"])
        image = photometric_distortion.distort(view.image, distortion)
        view = view._replace(image=image)
    return view, streams["truth"]


def _whole(image: tf.Tensor, boxes: tf.Tensor) -> View:
    sides = tf.shape(image)
    return View(
        image,
        boxes,
        tf.range(tf.shape(boxes)[0]),
        tf.range(sides[0]),
        tf.range(sides[1]),
    )


def mirror(view: View) -> View:
    """Returns a view with left and right exchanged."""
    top, left, bottom, right = tf.unstack(view.boxes, axis=1)
    width = tf.cast(tf.shape(view.image)[1], tf.float32)
    return view._replace(
        image=tf.reverse(view.image, [1]),
        boxes=tf.stack([top, width - right, bottom, width - left], axis=1),
        columns=tf.reverse(view.columns, [0]),
    )


def resize(view: View, resized: tf.Tensor) -> View:
    """Returns a view in another size.

    Args:
        view: Any.
        resized: Its height and width then, int32 `(2,)`.

    Source: mmdetection 3.3.0, Resize; its BitmapMasks.
    """
    return resize_part(view, resized, tf.constant([0, 0]), resized)


def resize_part(
    view: View, resized: tf.Tensor, place: tf.Tensor, part: tf.Tensor
) -> View:
    """Returns a part of a resized view: that of resizing all and then cutting.

    Args:
        view: Any.
        resized: Height and width of the whole after resizing, int32 `(2,)`.
        place: Top and left of the part, int32 `(2,)`.
        part: Its height and width, int32 `(2,)`.
    """
    sides = tf.shape(view.image)[:2]
    factors = tf.cast(resized / sides, tf.float32)
    boxes, kept = _boxes_within(
        view.boxes * tf.tile(factors, [2]), view.kept, place, part
    )
    rows, columns = (
        tf.gather(own, nearest_places(sides, resized, place, part, axis))
        for axis, own in enumerate((view.rows, view.columns))
    )
    image = resize_image_part(view.image, resized, place, part)
    return View(image, boxes, kept, rows, columns)


def cut(view: View, place: tf.Tensor, part: tf.Tensor) -> View:
    """Returns a part of a view, with the objects that reach into it.

    Args:
        view: Any.
        place: Top and left of the part, int32 `(2,)`.
        part: Its height and width, int32 `(2,)`.

    Source: mmdetection 3.3.0, RandomCrop with allow_negative_crop.
    """
    top, left = tf.unstack(place)
    bottom, right = tf.unstack(place + part)
    boxes, kept = _boxes_within(view.boxes, view.kept, place, part)
    return View(
        view.image[top:bottom, left:right],
        boxes,
        kept,
        view.rows[top:bottom],
        view.columns[left:right],
    )


def _boxes_within(
    boxes: tf.Tensor, kept: tf.Tensor, place: tf.Tensor, part: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns boxes as a part shows them, without those of which it shows nothing."""
    limits = tf.tile(tf.cast(part, tf.float32), [2])
    offsets = tf.tile(tf.cast(place, tf.float32), [2])
    boxes = tf.clip_by_value(boxes - offsets, 0.0, limits)
    has_area = tf.reduce_all(boxes[:, 2:] > boxes[:, :2], axis=1)
    return tf.boolean_mask(boxes, has_area), tf.boolean_mask(kept, has_area)


def _resize_to_one(
    view: View, factors: list[float] | tuple[float, ...], seed: tf.Tensor, size_px: int
) -> View:
    """Resizes so that the shorter side is one of these factors times size_px."""
    shortest = tf.constant([round(size_px * factor) for factor in factors])
    number = tf.random.stateless_uniform([], seed, 0, len(factors), tf.int32)
    sides = tf.shape(view.image)[:2]
    longest = round(WHOLE_MODES["fit"] * size_px)
    return resize(view, sides_within(sides, shortest[number], longest))


def _draw_part(view: View, streams: dict[str, tf.Tensor], size_px: int) -> View:
    view = _resize_to_one(view, _CROPPED_SCALES, streams["cropped_scale"], size_px)
    place, part = draw_part(tf.shape(view.image)[:2], streams["part"], size_px)
    return cut(view, place, part)


def draw_part(
    sides: tf.Tensor, seed: tf.Tensor, size_px: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws the part that is cut out of an image.

    Args:
        sides: Height and width of the image, int32 `(2,)`.
        seed: int64 `(2,)`.
        size_px: Shorter side in evaluation.

    Returns:
        Top and left, height and width, int32 `(2,)` each.

    Source: mmdetection 3.3.0, RandomCrop's "absolute_range" of 384 to 600 for 800.
    """
    least, most = (tf.minimum(sides, round(size_px * share)) for share in _CROP_RANGE)
    draws = tf.random.stateless_uniform([2, 2], seed, dtype=tf.float64)
    part = least + _whole_below(most - least + 1, draws[0])
    return _whole_below(sides - part + 1, draws[1]), part


def _jitter(
    view: View,
    jitter: tuple[float, float],
    streams: dict[str, tf.Tensor],
    size_px: int,
) -> View:
    """Resizes by a random factor and cuts out a part that fits into a square.

    Source: mmdetection 3.3.0, RandomResize and RandomCrop of configs/common/lsj-*.
    """
    low, high = jitter
    drawn = tf.random.stateless_uniform([], streams["scale"], dtype=tf.float64)
    side = tf.floor(size_px * (low + drawn * (high - low)))
    resized = sides_within(tf.shape(view.image)[:2], side, side)
    part = tf.minimum(resized, size_px)
    places = tf.random.stateless_uniform([2], streams["part"], dtype=tf.float64)
    view = resize_part(view, resized, _whole_below(resized - part + 1, places), part)
    sides = view.boxes[:, 2:] - view.boxes[:, :2]
    is_left = tf.reduce_all(sides > _LEAST_SCALED_PX, axis=1)
    return view._replace(
        boxes=tf.boolean_mask(view.boxes, is_left),
        kept=tf.boolean_mask(view.kept, is_left),
    )


def _whole_below(limits: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Returns whole numbers from 0 to less than the limits, from draws in [0, 1)."""
    found = tf.cast(tf.floor(tf.cast(limits, tf.float64) * draws), tf.int32)
    return tf.minimum(found, limits - 1)


def boxes_of(masks: tf.Tensor) -> tf.Tensor:
    """Returns the smallest box around each mask, all 0 around an empty one.

    Args:
        masks: 0 or 1, `(objects, height, width)`.

    Returns:
        y0, x0, y1, x1 in pixels, float32 `(objects, 4)`.

    Source: mmdetection 3.3.0, BitmapMasks.get_bboxes.
    """
    starts, ends = [], []
    for axis in (2, 1):
        is_there = tf.reduce_max(masks, axis=axis) > 0
        length = tf.shape(is_there, tf.int64)[1]
        any_there = tf.reduce_any(is_there, axis=1)
        first = tf.argmax(is_there, axis=1)
        last = length - tf.argmax(tf.reverse(is_there, [1]), axis=1)
        starts.append(tf.where(any_there, first, 0))
        ends.append(tf.where(any_there, last, 0))
    return tf.cast(tf.stack([*starts, *ends], axis=1), tf.float32)
