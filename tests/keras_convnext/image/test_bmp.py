"""BMP files of every kind, and PNG files whose upper eight bits show nothing."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_convnext.image import decode
from keras_convnext.image import files as image_files
from tests import bitmaps

RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def decode_in_graph():
    return tf.function(decode, input_signature=[tf.TensorSpec([], tf.string)])


@pytest.mark.parametrize("header_bytes", [40, 108, 124])
@pytest.mark.parametrize("layout", bitmaps.LAYOUTS)
def test_a_bmp_has_the_colors_that_its_masks_say(layout, header_bytes, decode_in_graph):
    bits, _, _ = bitmaps.LAYOUTS[layout]
    levels = RNG.integers(0, 2**bits, (5, 7, 3))
    contents = bitmaps.bmp(levels, layout, header_bytes)
    # A color's highest level is 255; between them it is rounded down, as Pillow does.
    wanted = levels * 255 // (2**bits - 1)
    np.testing.assert_array_equal(decode_in_graph(contents), wanted)
    np.testing.assert_array_equal(image_files.read_pixels(contents), wanted)


def test_sixteen_bits_without_masks_are_five_a_color(decode_in_graph):
    levels = RNG.integers(0, 32, (4, 5, 3))
    values = (levels << (10, 5, 0)).sum(-1).astype("<u2")
    contents = bitmaps.raw_bmp(values, compression=0)
    wanted = np.asarray(Image.open(io.BytesIO(contents)).convert("RGB"))
    np.testing.assert_array_equal(decode_in_graph(contents), wanted)
    np.testing.assert_array_equal(wanted, levels * 255 // 31)


@pytest.mark.parametrize("colors", [2, 16, 256])
def test_a_bmp_with_a_palette_is_read_as_pillow_reads_it(colors, decode_in_graph):
    drawn = Image.fromarray(RNG.integers(0, 256, (6, 9, 3), np.uint8)).quantize(colors)
    file = io.BytesIO()
    (drawn.convert("1") if colors == 2 else drawn).save(file, "BMP")
    wanted = np.asarray(Image.open(io.BytesIO(file.getvalue())).convert("RGB"))
    np.testing.assert_array_equal(decode_in_graph(file.getvalue()), wanted)


def test_four_bits_a_pixel_are_two_pixels_a_byte(decode_in_graph):
    indices = RNG.integers(0, 16, (3, 8), np.uint8)
    palette = RNG.integers(0, 256, (16, 4), np.uint8)
    packed = indices[:, ::2] << 4 | indices[:, 1::2]
    contents = bytearray(bitmaps.raw_bmp(packed, 0, palette.tobytes()))
    contents[18:22], contents[28:30] = (8).to_bytes(4, "little"), b"\4\0"
    # The palette has blue first.
    wanted = palette[indices][:, :, 2::-1]
    np.testing.assert_array_equal(decode_in_graph(bytes(contents)), wanted)


def test_rows_from_top_to_bottom_stay_so(decode_in_graph):
    levels = RNG.integers(0, 256, (5, 7, 3))
    contents = bytearray(bitmaps.bmp(levels, "rgbx"))
    contents[22:26] = (-5).to_bytes(4, "little", signed=True)
    np.testing.assert_array_equal(decode_in_graph(bytes(contents)), levels[::-1])


def with_run_lengths():
    """Eight bits, a run of four pixels in each of two rows, and a palette of grays."""
    grays = np.repeat(np.arange(256, dtype=np.uint8), 4).tobytes()
    body = np.frombuffer(b"\4\7\0\0\4\x09\0\1", np.uint8).reshape(2, 4)[::-1]
    return bitmaps.raw_bmp(body, 1, grays)


def test_run_lengths_are_unsupported_in_graphs_and_read_from_files(decode_in_graph):
    contents = with_run_lengths()
    with pytest.raises(tf.errors.InvalidArgumentError, match="not supported"):
        decode_in_graph(contents)
    wanted = np.repeat([[9] * 4, [7] * 4], 3).reshape(2, 4, 3)
    np.testing.assert_array_equal(image_files.read_pixels(contents), wanted)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda contents: contents[:-9],
        lambda contents: contents[:40],
        # No mask for red; and one that is wider than sixteen bits.
        lambda contents: contents[:54] + bytes(4) + contents[58:],
        lambda contents: contents[:54] + b"\xff\xff\xff\0" + contents[58:],
        # No columns; fewer than none; and rows beyond all bounds.
        lambda contents: contents[:18] + bytes(4) + contents[22:],
        lambda contents: contents[:18] + b"\xf9\xff\xff\xff" + contents[22:],
        lambda contents: contents[:22] + b"\xff\xff\xff\x7f" + contents[26:],
    ],
)
def test_a_damaged_bmp_is_an_error(spoil, decode_in_graph):
    whole = bitmaps.bmp(RNG.integers(0, 256, (5, 7, 3)), "rgbx")
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_in_graph(spoil(whole))


CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}


@pytest.mark.parametrize("color_type", CHANNELS)
def test_what_the_lower_eight_bits_alone_show_is_refused(color_type, decode_in_graph):
    levels = RNG.integers(0, 200, (5, 7, CHANNELS[color_type])).astype(np.uint16)
    if color_type in (4, 6):
        levels[..., -1] = 65535
    contents = bitmaps.png16(levels, color_type)
    with pytest.raises(tf.errors.InvalidArgumentError, match="upper 8"):
        decode_in_graph(contents)
    with pytest.raises(image_files.Unreadable, match="of its 16 bits the upper 8"):
        image_files.read_pixels(contents)
    black = bitmaps.png16(np.zeros_like(levels), color_type)
    assert not decode_in_graph(black).numpy().any()
    assert image_files.decode_file(black).remark == "black"


def tiff(levels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "TIFF")
    return file.getvalue()


def test_the_lower_eight_bits_of_a_tiff_are_refused_as_well():
    levels = RNG.integers(0, 200, (5, 7)).astype(np.uint16)
    with pytest.raises(image_files.Unreadable, match="of its 16 bits the upper 8"):
        image_files.read_pixels(tiff(levels))
    assert image_files.decode_file(tiff(np.zeros_like(levels))).remark == "black"


@pytest.mark.parametrize(("bits", "remark"), [(10, "dark"), (12, "dark"), (16, "")])
def test_few_bits_in_sixteen_are_remarked_on(bits, remark):
    levels = RNG.integers(0, 2**bits, (20, 20, 1)).astype(np.uint16)
    for contents in (tiff(levels[..., 0]), bitmaps.png16(levels, 0)):
        found = image_files.decode_file(contents)
        assert found.remark == remark
        np.testing.assert_array_equal(found.pixels[..., :1], levels >> 8)


def test_a_pgm_with_sixteen_bits_keeps_the_upper_eight():
    levels = RNG.integers(0, 65536, (4, 6)).astype(np.uint16)
    contents = b"P5 6 4 65535\n" + levels.astype(">u2").tobytes()
    seen = image_files.read_pixels(contents)
    np.testing.assert_array_equal(seen[..., 0], levels >> 8)


def test_what_pillow_does_not_support_is_not_called_damaged():
    # Compression 4 is a JPEG inside of a BMP.
    contents = bitmaps.raw_bmp(np.zeros((4, 4), np.uint8), 4)
    with pytest.raises(image_files.Unreadable, match="not supported"):
        image_files.read_pixels(contents)
    floats = tiff(np.ones((4, 4), np.float32))
    with pytest.raises(image_files.Unreadable, match=r"^its brightness has no"):
        image_files.read_pixels(floats)
