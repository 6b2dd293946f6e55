"""BMP files to pixels, inside a graph.

TensorFlow's operator reads 24 and 32 bits a pixel in their usual order. The other kinds
without compression are read here: palettes of 1, 4 and 8 bits, and 16 and 32 bits by
the bit masks in the file, which the operator ignores.

Source: Microsoft, "Bitmap Header Types" (BITMAPINFOHEADER to BITMAPV5HEADER).
"""

from __future__ import annotations

import tensorflow as tf

from keras_convnext.image import _headers as headers

# From here on the bits a pixel, the compression and the masks stand at these bytes.
_LEAST_HEADER_BYTES = 40
_BITS, _COMPRESSION, _MASKS = 28, 30, 54
_PLAIN, _BIT_FIELDS, _BIT_FIELDS_WITH_ALPHA = 0, 3, 6
# Of 16 bits without masks each color has five.
_FIVE_BITS_EACH = (0x7C00, 0x03E0, 0x001F)
# The levels of a wider color, times 255, would not fit into 32 bits.
_MOST_LEVELS = 2**16


def is_supported(data: tf.Tensor) -> tf.Tensor:
    """Returns True if the pixels of a BMP file are kept in a way that is read here.

    Args:
        data: What `image_headers.read` returned.

    Returns:
        A bool scalar. False for run lengths, for JPEG and PNG inside of a BMP, and for
        the headers of OS/2.
    """
    bits, packing = (
        headers.integer(data, _BITS, 2),
        headers.integer(data, _COMPRESSION, 4),
    )
    has_header = headers.integer(data, 14, 4) >= _LEAST_HEADER_BYTES
    is_plain = (packing == _PLAIN) & _is_one_of(bits, (1, 4, 8, 16, 24, 32))
    with_masks = _has_masks(packing) & _is_one_of(bits, (16, 32))
    lowest, levels = _fields(data)
    fits = tf.reduce_all((lowest > 0) & (levels < _MOST_LEVELS))
    return has_header & (is_plain | (with_masks & fits))


def decode(contents: tf.Tensor, data: tf.Tensor) -> tf.Tensor:
    """Returns the pixels of a BMP file.

    Args:
        contents: The file, a scalar string.
        data: What `image_headers.read` returned for it.

    Returns:
        uint8 `(height, width, 3)`.

    Raises:
        tf.errors.InvalidArgumentError: `is_supported` is false, or the file is cut off.
    """
    bits, packing = (
        headers.integer(data, _BITS, 2),
        headers.integer(data, _COMPRESSION, 4),
    )
    check = tf.debugging.Assert(
        is_supported(data),
        ["This kind of BMP is not supported: bits, compression", bits, packing],
        name="bmp_is_supported",
    )
    # Eager execution has run the check already.
    with tf.control_dependencies([] if check is None else [check]):
        is_usual = (bits >= 24) & (packing == _PLAIN)

        def by_palette_or_masks() -> tf.Tensor:
            return tf.cond(
                bits <= 8,
                lambda: _by_palette(data, bits),
                lambda: _by_masks(data, bits),
            )

        return tf.cond(
            is_usual,
            lambda: tf.image.decode_bmp(contents)[:, :, :3],
            by_palette_or_masks,
        )


def _is_one_of(value: tf.Tensor, values: tuple[int, ...]) -> tf.Tensor:
    return tf.reduce_any(value == tf.constant(values, tf.int64))


def _has_masks(packing: tf.Tensor) -> tf.Tensor:
    return _is_one_of(packing, (_BIT_FIELDS, _BIT_FIELDS_WITH_ALPHA))


def _fields(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns lowest bit and highest level of each color, int64 `(3,)` both."""
    stored = tf.stack([headers.integer(data, _MASKS + 4 * n, 4) for n in range(3)])
    usual = tf.constant(_FIVE_BITS_EACH, tf.int64)
    has_masks = _has_masks(headers.integer(data, _COMPRESSION, 4))
    masks = tf.where(has_masks, stored, usual)
    lowest = tf.bitwise.bitwise_and(masks, -masks)
    return lowest, masks // tf.maximum(lowest, 1)


def _rows(data: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Returns the bytes of each row from the top on, uint8 `(height, bytes)`."""
    height, width = headers.bmp_size_px(data)
    start = headers.integer(data, 10, 4)
    # A row is filled up to whole groups of four bytes.
    row_bytes = (width * bits + 31) // 32 * 4
    end = start + height * row_bytes
    check = tf.debugging.Assert(
        (height > 0) & (width > 0) & (end <= headers.file_bytes(data)),
        [
            "The BMP is cut off: bytes wanted, bytes there",
            end,
            headers.file_bytes(data),
        ],
        name="bmp_is_whole",
    )
    with tf.control_dependencies([] if check is None else [check]):
        rows = tf.reshape(data[start:end], tf.stack([height, row_bytes]))
        is_upside_down = headers.integer(data, 22, 4) < 2**31
        return tf.cond(is_upside_down, lambda: rows[::-1], lambda: rows)


def _by_palette(data: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    _, width = headers.bmp_size_px(data)
    rows = _rows(data, bits)
    shifts = tf.cast(tf.range(8 - bits, -1, -bits), tf.uint8)
    last = tf.cast(tf.bitwise.left_shift(tf.constant(1, tf.int64), bits) - 1, tf.uint8)
    indices = tf.bitwise.right_shift(rows[:, :, tf.newaxis], shifts) & last
    indices = tf.reshape(indices, (tf.shape(rows)[0], -1))[:, :width]
    # Four bytes an entry: blue, green, red and one that is not used. Colors that the
    # palette lacks are black.
    start = 14 + headers.integer(data, 14, 4)
    end = tf.minimum(start + 4 * 256, headers.integer(data, 10, 4))
    stored = data[start:end]
    missing = 4 * 256 - tf.size(stored)
    palette = tf.reshape(tf.pad(stored, [[0, missing]]), (256, 4))
    return tf.gather(palette[:, 2::-1], tf.cast(indices, tf.int32))


def _by_masks(data: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    height, width = headers.bmp_size_px(data)
    pixel_bytes = bits // 8
    rows = _rows(data, bits)[:, : width * pixel_bytes]
    pixels = tf.reshape(rows, tf.stack([height, width, pixel_bytes]))
    filled = tf.pad(pixels, tf.stack([[0, 0], [0, 0], [0, 4 - pixel_bytes]]))
    values = tf.bitcast(tf.ensure_shape(filled, (None, None, 4)), tf.uint32)
    lowest, levels = (tf.cast(field, tf.uint32) for field in _fields(data))

    def color(number: int) -> tf.Tensor:
        level = values // lowest[number] & levels[number]
        return tf.cast(level * 255 // levels[number], tf.uint8)

    return tf.stack([color(number) for number in range(3)], axis=-1)
