"""The EXIF orientation of an image: found in its file, applied to its pixels.

A camera stores the image as its sensor saw it and notes how to turn it. Neither
`keras.utils.load_img` nor TensorFlow's decoders heed that note, so that a portrait
photograph reaches the model lying on its side.

Source: CIPA DC-008-2019 (EXIF 2.32), section 4.6.4, tag 274; the PNG specification,
third edition, chunk eXIf; RFC 9649 (WebP), chunk EXIF.
"""

from collections.abc import Callable

import tensorflow as tf

from keras_convnext.image import _headers as headers

# The longest walk over the segments of a JPEG or the chunks of a PNG or WebP. Real
# files keep their EXIF block among the first few.
_MOST_STEPS = 256
_ORIENTATION_TAG = 0x0112
_ENTRY_BYTES = 12
# A directory states its own length; cameras write about a dozen entries.
_MOST_ENTRIES = 512
_SHORT, _LONG = 3, 4
_NOWHERE = -1

# What a step of a walk returns: where to go on, where the EXIF block starts (or
# _NOWHERE), and whether the walk is over.
_Step = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


def _walk(data: tf.Tensor, start: int, step: Callable[[tf.Tensor], _Step]) -> tf.Tensor:
    """Returns the start of the EXIF block, or _NOWHERE, an int64 scalar."""
    end = headers.file_bytes(data)

    def goes_on(position: tf.Tensor, found: tf.Tensor, over: tf.Tensor) -> tf.Tensor:
        return ~over & (found == _NOWHERE) & (position < end)

    _, found, _ = tf.while_loop(
        goes_on,
        lambda position, found, over: step(position),
        (
            tf.constant(start, tf.int64),
            tf.constant(_NOWHERE, tf.int64),
            tf.constant(False),
        ),
        maximum_iterations=_MOST_STEPS,
    )
    return found


def _jpeg_exif_start(data: tf.Tensor) -> tf.Tensor:
    """Returns the start of the TIFF header in the first EXIF segment."""

    def step(position: tf.Tensor) -> _Step:
        marker = headers.integer(data, position, 2, big_endian=True)
        is_exif = (marker == 0xFFE1) & headers.matches(
            data, position + 4, b"Exif\x00\x00"
        )
        # The compressed image follows the start of the scan; anything that is no
        # marker is damage that the decoder may forgive and this walk does not.
        over = (marker == 0xFFDA) | (marker < 0xFF00)
        # A marker may be preceded by any number of fill bytes.
        fill = marker == 0xFFFF
        length = headers.integer(data, position + 2, 2, big_endian=True)
        advance = tf.where(fill, tf.ones_like(length), 2 + length)
        found = tf.where(is_exif, position + 10, _NOWHERE)
        return position + advance, found, over

    return _walk(data, 2, step)


def _png_exif_start(data: tf.Tensor) -> tf.Tensor:
    """Returns the start of the TIFF header in the eXIf chunk before the pixels."""

    def step(position: tf.Tensor) -> _Step:
        length = headers.integer(data, position, 4, big_endian=True)
        found = tf.where(
            headers.matches(data, position + 4, b"eXIf"), position + 8, _NOWHERE
        )
        return (
            position + 12 + length,
            found,
            headers.matches(data, position + 4, b"IDAT"),
        )

    return _walk(data, 8, step)


def _webp_exif_start(data: tf.Tensor) -> tf.Tensor:
    """Returns the start of the TIFF header in the EXIF chunk."""

    def step(position: tf.Tensor) -> _Step:
        length = headers.integer(data, position + 4, 4)
        body = position + 8
        # Some writers put JPEG's six byte introduction in front of the header.
        introduced = headers.matches(data, body, b"Exif\x00\x00")
        start = tf.where(introduced, body + 6, body)
        found = tf.where(headers.matches(data, position, b"EXIF"), start, _NOWHERE)
        return body + length + length % 2, found, tf.constant(False)

    return _walk(data, 12, step)


def _orientation_of_tiff(data: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """Returns the orientation in the directory of the TIFF header at `start`."""
    big_endian = headers.matches(data, start, b"MM")
    directory = start + headers.integer(data, start + 4, 4, big_endian)
    entries = headers.integer(data, directory, 2, big_endian)

    def goes_on(entry: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
        return (entry < entries) & (orientation == 0)

    def look_at(entry: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        position = directory + 2 + _ENTRY_BYTES * entry
        tag = headers.integer(data, position, 2, big_endian)
        kind = headers.integer(data, position + 2, 2, big_endian)
        short = headers.integer(data, position + 8, 2, big_endian)
        long = headers.integer(data, position + 8, 4, big_endian)
        value = tf.where(kind == _SHORT, short, tf.where(kind == _LONG, long, 1))
        return entry + 1, tf.where(tag == _ORIENTATION_TAG, value, 0)

    _, orientation = tf.while_loop(
        goes_on,
        look_at,
        (tf.constant(0, tf.int64), tf.constant(0, tf.int64)),
        maximum_iterations=_MOST_ENTRIES,
    )
    return orientation


def orientation_of(data: tf.Tensor, image_format: tf.Tensor) -> tf.Tensor:
    """Returns the EXIF orientation that an image file notes.

    Args:
        data: What `image_headers.read` returned.
        image_format: What `image_headers.image_format` returned.

    Returns:
        An int32 scalar, 1 to 8; 1 (upright) where the file says nothing or nonsense.
        JPEG, PNG (chunks before the pixels) and WebP files are looked into.
    """

    def nowhere() -> tf.Tensor:
        return tf.constant(_NOWHERE, tf.int64)

    finders: list[Callable[[], tf.Tensor]] = [nowhere] * (headers.WEBP + 1)
    finders[headers.JPEG] = lambda: _jpeg_exif_start(data)
    finders[headers.PNG] = lambda: _png_exif_start(data)
    finders[headers.WEBP] = lambda: _webp_exif_start(data)
    start = tf.switch_case(image_format, finders)
    orientation = tf.cond(
        start == _NOWHERE,
        lambda: tf.constant(1, tf.int64),
        lambda: _orientation_of_tiff(data, start),
    )
    known = (orientation >= 1) & (orientation <= 8)
    return tf.cast(tf.where(known, orientation, 1), tf.int32)


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Returns the image turned and mirrored as its EXIF orientation asks.

    Args:
        image: `(height, width, channels)`.
        orientation: An int32 scalar, 1 to 8.

    Returns:
        `(height, width, channels)`; height and width change places for 5 to 8.
    """

    def transposed() -> tf.Tensor:
        return tf.transpose(image, (1, 0, 2))

    # `tf.reverse` and not a slice with a step of -1, which takes ten times as long.
    return tf.switch_case(
        orientation - 1,
        [
            lambda: image,
            lambda: tf.reverse(image, [1]),
            lambda: tf.reverse(image, [0, 1]),
            lambda: tf.reverse(image, [0]),
            transposed,
            lambda: tf.reverse(transposed(), [1]),
            lambda: tf.reverse(transposed(), [0, 1]),
            lambda: tf.reverse(transposed(), [0]),
        ],
    )
