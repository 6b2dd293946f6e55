"""Image files to upright pixels, and pixels to what a network is evaluated on.

One implementation for tf.data pipelines, exported signatures and clients, made of
TensorFlow operators alone. It gives what Pillow gives to `Image.open(file)`,
`ImageOps.exif_transpose`, `convert("RGB")`, `resize` and `crop`: the published
accuracies of ConvNeXt were measured on such images.
"""

import math
from collections.abc import Callable

import tensorflow as tf

from keras_convnext.image import _bmp as image_bmp
from keras_convnext.image import _first_frame as first_frame
from keras_convnext.image import _headers as headers
from keras_convnext.image._orientation import orientation_of, upright
from keras_convnext.preprocessing import (
    SMALLEST_PX,
    WHOLE_MODES,
    Preprocessing,
)

# A larger image would take over 300 MB before it is resized; a file of a few bytes
# can announce one.
MAX_PIXELS = 100_000_000

_KERNELS = {"bicubic": "keyscubic", "bilinear": "triangle"}


def _bounded(
    size_px: tuple[tf.Tensor, tf.Tensor],
    max_pixels: int,
    decode_it: Callable[[], tf.Tensor],
) -> tf.Tensor:
    """Returns the result of `decode_it`; fails if the image is too large."""
    height, width = (tf.cast(side, tf.int64) for side in size_px)
    # A side alone is bounded too, so that their product cannot overflow.
    fits = (height <= max_pixels) & (width <= max_pixels)
    fits &= height * width <= max_pixels
    check = tf.debugging.Assert(
        fits,
        [
            f"The image has more than {max_pixels} pixels: height, width",
            height,
            width,
        ],
        name="image_fits",
    )
    # Eager execution has run the check already.
    with tf.control_dependencies([] if check is None else [check]):
        return decode_it()


def _decode_jpeg(contents: tf.Tensor, data: tf.Tensor, max_pixels: int) -> tf.Tensor:
    shape = tf.image.extract_jpeg_shape(contents)
    return _bounded(
        (shape[0], shape[1]),
        max_pixels,
        # The other method is faster and off by up to 20 of 255.
        lambda: tf.image.decode_jpeg(
            contents, channels=3, dct_method="INTEGER_ACCURATE"
        ),
    )


def _decode_png(contents: tf.Tensor, data: tf.Tensor, max_pixels: int) -> tf.Tensor:
    def upper_eight_bits() -> tf.Tensor:
        deep = tf.image.decode_png(contents, channels=3, dtype=tf.uint16)
        upper = tf.cast(tf.bitwise.right_shift(deep, 8), tf.uint8)
        is_flat = tf.reduce_all(upper == upper[0, 0])
        check = tf.debugging.Assert(
            ~is_flat | tf.reduce_all(deep == deep[0, 0]),
            ["Of 16 bits the upper 8, which are used, are the same in every pixel"],
            name="upper_bits_differ",
        )
        with tf.control_dependencies([] if check is None else [check]):
            return tf.identity(upper)

    return _bounded(
        headers.png_size_px(data),
        max_pixels,
        lambda: tf.cond(
            headers.png_bits(data) == 16,
            upper_eight_bits,
            lambda: tf.image.decode_png(contents, channels=3),
        ),
    )


def _decode_gif(contents: tf.Tensor, data: tf.Tensor, max_pixels: int) -> tf.Tensor:
    still, frame_size_px = first_frame.gif(contents, data)
    screen_height, screen_width = headers.gif_size_px(data)
    size_px = (
        tf.maximum(screen_height, frame_size_px[0]),
        tf.maximum(screen_width, frame_size_px[1]),
    )
    return _bounded(size_px, max_pixels, lambda: tf.image.decode_gif(still)[0])


def _decode_bmp(contents: tf.Tensor, data: tf.Tensor, max_pixels: int) -> tf.Tensor:
    return _bounded(
        headers.bmp_size_px(data), max_pixels, lambda: image_bmp.decode(contents, data)
    )


def _decode_webp(contents: tf.Tensor, data: tf.Tensor, max_pixels: int) -> tf.Tensor:
    still = first_frame.webp(contents, data)

    def pixels() -> tf.Tensor:
        # With expand_animations=False this operator ends the process on some files.
        # It, and not DecodeWebP, because older runtimes know it and can load the
        # graph, even where they cannot read WebP.
        frames = tf.raw_ops.DecodeImage(
            contents=still, channels=0, expand_animations=True
        )
        return frames[0, :, :, :3]

    return _bounded(headers.webp_size_px(headers.read(still)), max_pixels, pixels)


def _fail(contents: tf.Tensor, data: tf.Tensor, max_pixels: int) -> tf.Tensor:
    check = tf.debugging.Assert(
        False,
        ["Not a JPEG, PNG, GIF, BMP or WebP image. It starts with", data[:8]],
        name="image_format_is_known",
    )
    with tf.control_dependencies([] if check is None else [check]):
        return tf.zeros([1, 1, 3], tf.uint8)


_DECODERS = {
    headers.UNKNOWN: _fail,
    headers.JPEG: _decode_jpeg,
    headers.PNG: _decode_png,
    headers.GIF: _decode_gif,
    headers.BMP: _decode_bmp,
    headers.WEBP: _decode_webp,
}


# Nothing below needs Python rewritten into graph operators.
@tf.autograph.experimental.do_not_convert
def decode(contents: tf.Tensor, max_pixels: int = MAX_PIXELS) -> tf.Tensor:
    """Returns the pixels of an encoded image, turned as its EXIF note asks.

    Reads JPEG (gray and CMYK too), PNG, GIF, BMP and WebP, known by their first
    bytes and not by a name. Of an animation the first frame counts. Transparency is
    dropped, not mixed with a background, as `convert("RGB")` of Pillow does: what a
    GIF leaves transparent is black. Of 16 bits the upper 8 are kept. A BMP's bit
    masks are heeded. Color profiles are not applied.

    Args:
        contents: The file, a scalar string.
        max_pixels: The largest image that is unpacked, in pixels.

    Returns:
        uint8 `(height, width, 3)`, 0..255.

    Raises:
        tf.errors.InvalidArgumentError: The bytes are no such image, are damaged,
            announce an image with more than `max_pixels`, or show something in the
            lower 8 of 16 bits alone; or it is a BMP with run lengths.

    Example:
        >>> import tensorflow as tf
        >>> from keras_convnext import image
        >>> photo = tf.io.encode_jpeg(tf.zeros((48, 64, 3), tf.uint8))
        >>> tuple(image.decode(photo).shape)
        (48, 64, 3)
    """
    data = headers.read(contents)
    kind = headers.image_format(data)

    def branch(decoder: Callable[..., tf.Tensor]) -> Callable[[], tf.Tensor]:
        return lambda: tf.ensure_shape(
            decoder(contents, data, max_pixels), (None, None, 3)
        )

    image = tf.switch_case(
        kind, {key: branch(decoder) for key, decoder in _DECODERS.items()}
    )
    return tf.ensure_shape(upright(image, orientation_of(data, kind)), (None, None, 3))


def _resampled(
    lines: tf.Tensor,
    resized_px: tf.Tensor,
    start_px: tf.Tensor,
    preprocessing: Preprocessing,
) -> tf.Tensor:
    """Returns lines of an image resized across, the wanted part of them.

    Args:
        lines: `(length, values)`, 0..255: the image's rows or its columns.
        resized_px: How many all of them are after resizing.
        start_px: Where the wanted part starts among these, float32.
        preprocessing: Says how many are wanted, and how they are made.

    Returns:
        float32 `(size_px, values)`, whole numbers in 0..255: each pass ends in 8 bits,
        as Pillow's does. An overshoot of the kernel is cut off before the second pass
        can spread it.
    """
    size_px = preprocessing.size_px
    shape = tf.shape(lines)
    length, values = shape[0], shape[1]
    # The operator always resizes two axes, and is fast along the first of them only,
    # where it adds up whole lines. So a line becomes one pixel of very many channels.
    resampled = tf.raw_ops.ScaleAndTranslate(
        images=tf.reshape(lines, (1, length, 1, values)),
        size=(size_px, 1),
        scale=tf.stack((tf.cast(resized_px / length, tf.float32), 1.0)),
        translation=tf.stack((-start_px, 0.0)),
        kernel_type=_KERNELS[preprocessing.interpolation],
        antialias=preprocessing.antialias,
    )
    # Between these bounds it is floor(x + 0.5) of what is held within them, at once.
    levels = tf.quantization.fake_quant_with_min_max_args(resampled, 0.0, 255.0)
    return tf.reshape(levels, (size_px, values))


def _resized_sides_px(
    sides: tf.Tensor, preprocessing: Preprocessing
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns height and width of the whole image after resizing."""
    if preprocessing.crop_mode == "squash":
        side = tf.constant(preprocessing.size_px)
        return side, side
    # The tolerance keeps a quotient that should be whole from falling one short.
    shorter_px = math.floor(preprocessing.size_px / preprocessing.crop_fraction + 1e-6)
    height, width = tf.cast(sides[0], tf.int64), tf.cast(sides[1], tf.int64)
    shorter = tf.minimum(height, width)
    return (
        tf.cast(shorter_px * height // shorter, tf.int32),
        tf.cast(shorter_px * width // shorter, tf.int32),
    )


def _keeping_ratio(
    image: tf.Tensor, size_px: int, longest_to_shortest: float
) -> tf.Tensor:
    """Returns the whole image, resized, whole numbers in 0..255."""
    sides = tf.cast(tf.shape(image)[:2], tf.float64)
    factor = tf.minimum(
        round(longest_to_shortest * size_px) / tf.reduce_max(sides),
        size_px / tf.reduce_min(sides),
    )
    resized_px = tf.maximum(tf.cast(sides * factor + 0.5, tf.int32), SMALLEST_PX)
    return tf.round(tf.image.resize(image, resized_px))


@tf.autograph.experimental.do_not_convert
def evaluation_view(image: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    """Returns what a network is evaluated on: a square of an image, or all of it.

    "center" resizes the shorter side to size_px / crop_fraction, keeps the aspect
    and cuts out the middle; "squash" resizes both sides to size_px. Antialiased, it is
    within 2 of 255 of the `resize` of Pillow up to 12 at worst, by which torchvision
    and timm measured the published accuracies; bilinear and not antialiased, within 1
    of `tf.image.resize`, which Keras' loader of image folders calls. Pillow 13 resizes
    the height first in tall images ("squash", and "center" from about 2.2 times as high
    as wide), which moves noise by up to 24 of 255, black and white noise by up to 31.
    "keep_ratio" and "fit" are `tf.image.resize`, bilinear and not antialiased.

    Args:
        image: `(height, width, 3)`, 0..255.
        preprocessing: The record that goes with the weights.

    Returns:
        float32 `(size_px, size_px, 3)`, whole numbers in 0..255, not normalized; of
        "keep_ratio" and "fit" `(height, width, 3)`, resized.

    Example:
        >>> import numpy as np
        >>> from keras_convnext import image
        >>> from keras_convnext.preprocessing import Preprocessing
        >>> photo = np.zeros((480, 640, 3), "uint8")
        >>> tuple(image.evaluation_view(photo, Preprocessing(size_px=224)).shape)
        (224, 224, 3)
    """
    size_px = preprocessing.size_px
    if preprocessing.crop_mode in WHOLE_MODES:
        return _keeping_ratio(image, size_px, WHOLE_MODES[preprocessing.crop_mode])
    shape = tf.shape(image)
    height, width = shape[0], shape[1]
    height_px, width_px = _resized_sides_px(shape, preprocessing)

    def resized(lines: tf.Tensor, resized_px: tf.Tensor) -> tf.Tensor:
        # Half a pixel goes to the even side, as Python's round does.
        margin = tf.round((tf.cast(resized_px, tf.float32) - size_px) / 2)
        return _resampled(lines, resized_px, margin, preprocessing)

    # Across first and down second: rounding between them makes the order count, and
    # this one is Pillow's. A matrix is turned in half the time of three axes, so a
    # column holds its reds, then its greens and its blues.
    columns = tf.transpose(tf.reshape(image, (height, width * 3)))
    across = resized(tf.reshape(columns, (width, 3 * height)), width_px)
    rows = tf.transpose(tf.reshape(across, (size_px * 3, height)))
    return tf.reshape(resized(rows, height_px), (size_px, size_px, 3))
