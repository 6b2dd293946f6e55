"""What the bytes of an image file say of it, read by TensorFlow operators.

Everything here runs inside a graph, so that an exported model reads the same
formats, sizes and orientations as the training pipeline. Reading never fails:
behind the end of a file stand zeros, and nonsense gives the neutral answer.
"""

import tensorflow as tf

UNKNOWN, JPEG, PNG, GIF, BMP, WEBP = range(6)

# Zeros behind the file, so that a read near its end needs no case of its own.
_PADDING = 16


def read(contents: tf.Tensor) -> tf.Tensor:
    """Returns a file's bytes in the form that the other functions here take.

    Args:
        contents: The file, a scalar string.

    Returns:
        Its bytes and a few zeros behind them, uint8 `(bytes + 16,)`.
    """
    zeros = tf.zeros([_PADDING], tf.uint8)
    return tf.concat([tf.io.decode_raw(contents, tf.uint8), zeros], 0)


def file_bytes(data: tf.Tensor) -> tf.Tensor:
    """Returns the length of the file that `read` gave, an int64 scalar."""
    return tf.size(data, out_type=tf.int64) - _PADDING


def _slice(data: tf.Tensor, start: int | tf.Tensor, count: int) -> tf.Tensor:
    """Returns `count` bytes (16 at most) from `start`, zeros behind the file."""
    start = tf.minimum(tf.cast(start, tf.int64), file_bytes(data))
    return tf.ensure_shape(data[start : start + count], [count])


def integer(
    data: tf.Tensor,
    start: int | tf.Tensor,
    count: int,
    big_endian: bool | tf.Tensor = False,
) -> tf.Tensor:
    """Returns an unsigned integer that stands in the file.

    Args:
        data: What `read` returned.
        start: Position of its first byte, not negative.
        count: Its length in bytes, 1 to 4.
        big_endian: Whether the most significant byte comes first.

    Returns:
        An int64 scalar.
    """
    values = tf.cast(_slice(data, start, count), tf.int64)
    values = tf.where(tf.convert_to_tensor(big_endian), values, values[::-1])
    shifts = tf.constant([8 * byte for byte in reversed(range(count))], tf.int64)
    return tf.reduce_sum(tf.bitwise.left_shift(values, shifts))


def matches(data: tf.Tensor, start: int | tf.Tensor, word: bytes) -> tf.Tensor:
    """Returns True if `word` (16 bytes at most) stands at `start`."""
    expected = tf.constant(list(word), tf.uint8)
    return tf.reduce_all(_slice(data, start, len(word)) == expected)


def image_format(data: tf.Tensor) -> tf.Tensor:
    """Returns which of the formats above the file's first bytes announce.

    Args:
        data: What `read` returned.

    Returns:
        An int32 scalar: UNKNOWN, JPEG, PNG, GIF, BMP or WEBP.
    """
    signatures = (
        (JPEG, matches(data, 0, b"\xff\xd8\xff")),
        (PNG, matches(data, 0, b"\x89PNG\r\n\x1a\n")),
        (GIF, matches(data, 0, b"GIF87a") | matches(data, 0, b"GIF89a")),
        (BMP, matches(data, 0, b"BM")),
        (WEBP, matches(data, 0, b"RIFF") & matches(data, 8, b"WEBP")),
    )
    found = tf.constant(UNKNOWN)
    for value, is_it in signatures:
        found = tf.where(is_it, value, found)
    return found


def png_size_px(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the height and width that a PNG file announces, int64 scalars."""
    return integer(data, 20, 4, big_endian=True), integer(data, 16, 4, big_endian=True)


def png_bits(data: tf.Tensor) -> tf.Tensor:
    """Returns the bits of a color that a PNG file announces, an int64 scalar."""
    return integer(data, 24, 1)


def bmp_size_px(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the height and width that a BMP file announces, int64 scalars."""
    height = integer(data, 22, 4)
    # A negative height says that the rows run from top to bottom.
    height = tf.where(height >= 2**31, 2**32 - height, height)
    return height, integer(data, 18, 4)


def gif_size_px(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the height and width of a GIF file's screen, int64 scalars."""
    return integer(data, 8, 2), integer(data, 6, 2)


def webp_size_px(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the height and width that a WebP file announces, int64 scalars."""
    # A lossless file packs both sizes, less one, into 28 bits; the others give each
    # a field of its own.
    packed = integer(data, 21, 4)
    low_bits = 2**14 - 1
    sizes = {
        b"VP8 ": (integer(data, 28, 2) & low_bits, integer(data, 26, 2) & low_bits),
        b"VP8L": ((packed // 2**14 & low_bits) + 1, (packed & low_bits) + 1),
        b"VP8X": (integer(data, 27, 3) + 1, integer(data, 24, 3) + 1),
    }
    height = width = tf.constant(0, tf.int64)
    for kind, (its_height, its_width) in sizes.items():
        is_it = matches(data, 12, kind)
        height = tf.where(is_it, its_height, height)
        width = tf.where(is_it, its_width, width)
    return height, width
