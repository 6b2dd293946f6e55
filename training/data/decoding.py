"""Decodes the part of an image that is wanted, by the shortest way there is.

`keras_convnext.image.decode` reads every format and turns images upright, and looks
into their headers for it, every time. Training reads the same files again in every
epoch, so it looks once, remembers what it found, and from then on calls the bare
decoder wherever that gives the same pixels.
"""

from __future__ import annotations

import tensorflow as tf

from keras_convnext.image import _headers as image_headers
from keras_convnext.image import _orientation as image_orientation
from keras_convnext.image import files as image_files

from ..augment.random_crop import Window

# Ways to read a file.
GENERAL, UPRIGHT_JPEG, UPRIGHT_PNG = range(3)

_SIGNATURES = {UPRIGHT_JPEG: b"\xff\xd8\xff", UPRIGHT_PNG: b"\x89PNG\r\n\x1a\n"}

# The part of a file that is searched for notes on its orientation. One segment of a
# JPEG is no longer than this, and cameras write the notes before everything else.
_HEAD_BYTES = 1 << 16


@tf.function(input_signature=[tf.TensorSpec((), tf.string)])
@tf.autograph.experimental.do_not_convert
def way_of(contents: tf.Tensor) -> tf.Tensor:
    """Returns by which way a file can be read, without decoding it.

    The headers are walked over only in files with an EXIF note in their first bytes:
    that takes longer than decoding a small image, and most have none.

    Args:
        contents: The file, a scalar string.

    Returns:
        GENERAL, UPRIGHT_JPEG or UPRIGHT_PNG, an int32 scalar.
    """
    head = tf.strings.substr(contents, 0, _HEAD_BYTES)
    noted = tf.strings.regex_full_match(head, r"(?s)\C*(Exif|eXIf)\C*")

    def by_first_bytes() -> tf.Tensor:
        way = tf.constant(GENERAL)
        for kind, signature in _SIGNATURES.items():
            starts = tf.strings.substr(contents, 0, len(signature))
            way = tf.where(starts == signature, kind, way)
        return way

    return tf.cond(noted, lambda: way_by_headers(contents), by_first_bytes)


@tf.function(input_signature=[tf.TensorSpec((), tf.string)])
@tf.autograph.experimental.do_not_convert
def way_by_headers(contents: tf.Tensor) -> tf.Tensor:
    """Returns the result of `way_of`, from the headers of the whole file.

    Args:
        contents: The file, a scalar string.
    """
    data = image_headers.read(contents)
    kind = image_headers.image_format(data)
    is_upright = image_orientation.orientation_of(data, kind) == 1
    way = tf.constant(GENERAL)
    way = tf.where(is_upright & (kind == image_headers.JPEG), UPRIGHT_JPEG, way)
    return tf.where(is_upright & (kind == image_headers.PNG), UPRIGHT_PNG, way)


def part(
    contents: tf.Tensor,
    way: tf.Tensor | int,
    ways: frozenset[int],
    window: Window | None,
) -> tf.Tensor:
    """Returns a part of an image.

    Args:
        contents: The file, a scalar string.
        way: How to read it.
        ways: Every way that `way` may take; the graph holds no others.
        window: Which part; None for all of it.

    Returns:
        uint8 `(height, width, 3)`. At the border of a JPEG's part the colors may
        be a little off from those of the whole.
    """
    numbers = sorted(ways)
    branches = [lambda n=n: _READERS[n](contents, window) for n in numbers]
    if len(numbers) == 1:
        pixels = branches[0]()
    else:
        place = tf.reduce_sum(tf.cast(tf.constant(numbers) < way, tf.int32))
        pixels = tf.switch_case(place, branches)
    return tf.ensure_shape(pixels, (None, None, 3))


def encoded_part(contents: tf.Tensor, window: Window | None) -> tf.Tensor:
    """Returns a part of an image of which nobody has looked how it can be read."""
    return part(contents, way_of(contents), frozenset(_READERS), window)


def cut_out(image: tf.Tensor, window: Window | None) -> tf.Tensor:
    """Returns a part of decoded pixels `(height, width, 3)`."""
    if window is None:
        return image
    shape = tf.shape(image)
    top, left, height, width = window(shape[0], shape[1])
    return image[top : top + height, left : left + width]


def _general(contents: tf.Tensor, window: Window | None) -> tf.Tensor:
    return cut_out(image_files.decode(contents), window)


def _jpeg(contents: tf.Tensor, window: Window | None) -> tf.Tensor:
    # The method that image.decode takes, and Pillow.
    method = "INTEGER_ACCURATE"
    if window is None:
        return tf.image.decode_jpeg(contents, channels=3, dct_method=method)
    shape = tf.image.extract_jpeg_shape(contents)
    place = tf.stack(window(shape[0], shape[1]))
    return tf.image.decode_and_crop_jpeg(contents, place, channels=3, dct_method=method)


def _png(contents: tf.Tensor, window: Window | None) -> tf.Tensor:
    return cut_out(tf.image.decode_png(contents, channels=3), window)


_READERS = {GENERAL: _general, UPRIGHT_JPEG: _jpeg, UPRIGHT_PNG: _png}
