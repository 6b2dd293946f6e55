"""Animations cut down to their first frame, still encoded.

TensorFlow's decoders unpack every frame of an animation, so that a small file can
ask for any amount of memory. What is cut here has one frame left to unpack.

Source: GIF89a specification (CompuServe, 1990); RFC 9649 (WebP), sections 2.3 to 2.7.
"""

import tensorflow as tf

from keras_convnext.image import _headers as headers

_GIF_IMAGE, _GIF_EXTENSION = 0x2C, 0x21
# A GIF keeps its pixels in blocks of 255 bytes at most: this many hold 16 MB.
_MOST_BLOCKS = 2**16
_MOST_CHUNKS = 256


def _color_table_bytes(flags: tf.Tensor) -> tf.Tensor:
    """Returns the length of the color table that a GIF descriptor announces."""
    entries = tf.bitwise.left_shift(tf.constant(2, tf.int64), flags & 7)
    return tf.where(flags >= 128, 3 * entries, 0)


def _behind_blocks(data: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """Returns the position behind a chain of a GIF's blocks and its end mark."""

    def goes_on(position: tf.Tensor) -> tf.Tensor:
        return headers.integer(data, position, 1) > 0

    def behind(position: tf.Tensor) -> tuple[tf.Tensor]:
        return (position + 1 + headers.integer(data, position, 1),)

    (end,) = tf.while_loop(goes_on, behind, (start,), maximum_iterations=_MOST_BLOCKS)
    return end + 1


def gif(contents: tf.Tensor, data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns a GIF file that holds the first frame alone, and that frame's size.

    Args:
        contents: The file, a scalar string.
        data: What `image_headers.read` returned for it.

    Returns:
        The shortened file, a scalar string, and the frame's `(height, width)` in
        pixels, int64; zeros where there is no frame.
    """

    def goes_on(position: tf.Tensor) -> tf.Tensor:
        return headers.integer(data, position, 1) == _GIF_EXTENSION

    def behind(position: tf.Tensor) -> tuple[tf.Tensor]:
        return (_behind_blocks(data, position + 2),)

    start = 13 + _color_table_bytes(headers.integer(data, 10, 1))
    (start,) = tf.while_loop(goes_on, behind, (start,), maximum_iterations=_MOST_CHUNKS)
    table = _color_table_bytes(headers.integer(data, start + 9, 1))
    end = _behind_blocks(data, start + 10 + table + 1)
    end = tf.minimum(end, headers.file_bytes(data))
    size_px = tf.stack(
        [headers.integer(data, start + 7, 2), headers.integer(data, start + 5, 2)]
    )
    has_frame = headers.integer(data, start, 1) == _GIF_IMAGE
    trailer = tf.constant(b"\x3b")
    return (
        tf.strings.substr(contents, tf.constant(0, tf.int64), end) + trailer,
        tf.where(has_frame, size_px, 0),
    )


def _little_endian(value: tf.Tensor) -> tf.Tensor:
    """Returns four bytes, a scalar string. TensorFlow has no operator for it."""
    every_byte = tf.constant([bytes([byte]) for byte in range(256)])
    shifts = tf.constant([0, 8, 16, 24], tf.int64)
    return tf.strings.reduce_join(
        tf.gather(every_byte, tf.bitwise.right_shift(value, shifts) & 255)
    )


def _first_webp_chunk(
    data: tf.Tensor, start: tf.Tensor | int, kinds: tuple[bytes, ...]
) -> tf.Tensor:
    """Returns the start of the first chunk of one of `kinds`, or the file's end."""
    end = headers.file_bytes(data)

    def goes_on(position: tf.Tensor) -> tf.Tensor:
        wanted = [headers.matches(data, position, kind) for kind in kinds]
        return (position < end) & ~tf.reduce_any(tf.stack(wanted))

    def behind(position: tf.Tensor) -> tuple[tf.Tensor]:
        length = headers.integer(data, position + 4, 4)
        return (position + 8 + length + length % 2,)

    (position,) = tf.while_loop(
        goes_on,
        behind,
        (tf.cast(start, tf.int64),),
        maximum_iterations=_MOST_CHUNKS,
    )
    return tf.minimum(position, end)


def webp(contents: tf.Tensor, data: tf.Tensor) -> tf.Tensor:
    """Returns a still WebP file with the colors of the file's first frame.

    Transparency is left out: the colors are all that `decode` keeps of it. A frame
    smaller than its canvas stands alone, without the empty canvas around it.

    Args:
        contents: The file, a scalar string.
        data: What `image_headers.read` returned for it.

    Returns:
        A scalar string. It is empty where the file has no frame.
    """
    pixels = (b"VP8 ", b"VP8L")
    frame = _first_webp_chunk(data, 12, (*pixels, b"ANMF"))
    # Sixteen bytes of place, size and duration precede the pixels of a frame.
    inside = tf.where(headers.matches(data, frame, b"ANMF"), frame + 24, frame)
    start = _first_webp_chunk(data, inside, pixels)
    length = 8 + headers.integer(data, start + 4, 4)
    chunk = tf.strings.substr(contents, start, length + length % 2)
    still = tf.strings.join(
        [b"RIFF", _little_endian(4 + length + length % 2), b"WEBP", chunk]
    )
    is_empty = start >= headers.file_bytes(data)
    return tf.where(is_empty, tf.constant(b""), still)
