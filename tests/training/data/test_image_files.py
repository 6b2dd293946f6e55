"""The check of image files: used upright, or refused with a reason."""

import csv
import io
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from keras_convnext.preprocessing import Preprocessing
from tests import bitmaps
from training.data import decoding, image_files
from training.inference import inputs

ODD = Path(__file__).parents[4] / "shared" / "data" / "odd_images"


def checked(path: Path, copies: Path) -> image_files.CheckedImage:
    (answer,) = image_files.check([path], copies)
    return answer


def read(answer: image_files.CheckedImage) -> np.ndarray:
    """What training will see of a file."""
    assert answer.problem == ""
    contents = tf.io.read_file(str(answer.readable))
    return decoding.part(contents, answer.way, frozenset({answer.way}), None).numpy()


def saved(path: Path, pixels: np.ndarray, mode: str | None = None, **options) -> Path:
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def ramp(*channels: int) -> np.ndarray:
    shape = (12, 16, *channels)
    return (np.arange(np.prod(shape)) % 251).astype(np.uint8).reshape(shape)


def test_answers_come_in_the_order_of_the_files(tmp_path: Path):
    paths = [saved(tmp_path / f"{n}.png", ramp(3)) for n in range(20)]
    paths[7].write_bytes(b"")
    answers = list(image_files.check(paths, tmp_path / "copies"))
    assert [answer.path for answer in answers] == paths
    assert [bool(answer.problem) for answer in answers] == [n == 7 for n in range(20)]


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "CMYK"])
def test_every_way_to_store_colors_is_read_as_pillow_reads_it(tmp_path: Path, mode):
    suffix = "jpg" if mode == "CMYK" else "png"
    path = saved(tmp_path / f"one.{suffix}", ramp(3), mode)
    # CMYK is multiplied out in integers by one and in floats by the other.
    allowed = 1 if mode == "CMYK" else 0
    wanted = np.asarray(Image.open(path).convert("RGB"), int)
    np.testing.assert_allclose(read(checked(path, tmp_path)), wanted, atol=allowed)


def test_sixteen_bits_become_the_upper_eight(tmp_path: Path):
    deep = (np.arange(192, dtype=np.uint16) * 300).reshape(12, 16)
    wanted = (deep >> 8).astype(np.uint8)
    for suffix in ("png", "tif"):
        path = saved(tmp_path / f"deep.{suffix}", deep)
        seen = read(checked(path, tmp_path / "copies"))
        np.testing.assert_array_equal(seen, np.repeat(wanted[..., None], 3, axis=2))


def test_of_an_animation_the_first_frame_is_used(tmp_path: Path):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime", "blue")]
    for suffix in ("gif", "webp", "png", "tif"):
        path = tmp_path / f"moving.{suffix}"
        lossless = {"lossless": True} if suffix == "webp" else {}
        frames[0].save(path, save_all=True, append_images=frames[1:], **lossless)
        seen = read(checked(path, tmp_path / "copies"))
        np.testing.assert_array_equal(seen, np.full((8, 8, 3), [255, 0, 0]))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_images_are_turned_upright_by_whichever_way_they_are_read(
    tmp_path: Path, suffix: str, orientation: int
):
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if suffix == "webp" else {}
    path = saved(tmp_path / f"turned.{suffix}", ramp(3), exif=exif, **lossless)
    with Image.open(path) as stored:
        wanted = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    seen = read(checked(path, tmp_path / "copies"))
    np.testing.assert_array_equal(seen, wanted)
    assert seen.shape == ((12, 16, 3) if orientation < 5 else (16, 12, 3))


def test_a_drawing_in_the_transparency_alone_is_refused(tmp_path: Path):
    icon = np.zeros((8, 8, 4), np.uint8)
    icon[2:6, 2:6, 3] = 255
    path = saved(tmp_path / "icon.png", icon)
    assert "save it on a background" in checked(path, tmp_path).problem
    icon[..., 3] = 255  # Black, but really so.
    path = saved(tmp_path / "black.png", icon)
    assert checked(path, tmp_path).problem == ""


def test_sixteen_bits_that_differ_in_the_lower_eight_alone_are_refused(tmp_path: Path):
    path = saved(tmp_path / "dark.png", ramp().astype(np.uint16))
    assert "16 bits" in checked(path, tmp_path).problem


def huge_png(path: Path, width: int, height: int) -> Path:
    """A gray PNG of many equal pixels, in a few hundred kilobytes."""
    packer = zlib.compressobj(9)
    row = bytes(width + 1)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    path.write_bytes(bitmaps.png(width, height, 8, 0, packed))
    return path


def test_an_image_of_400_million_pixels_is_refused_for_its_size(tmp_path: Path):
    path = huge_png(tmp_path / "bomb.png", 20_000, 20_000)
    problem = checked(path, tmp_path).problem
    assert problem.startswith("it has more than the 100 million pixels")
    assert problem.endswith(": 400000000 pixels")
    assert not list(tmp_path.glob("copies/*"))


def test_a_float_image_is_refused_because_its_range_is_not_known(tmp_path: Path):
    path = saved(tmp_path / "float.tif", ramp().astype(np.float32))
    assert "no known range" in checked(path, tmp_path).problem


def test_what_telephones_write_is_named_with_a_way_out(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "photo.HEIC"
    # The first box of such a file: its length, its kind and the kind's version.
    path.write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(500))
    problem = checked(path, tmp_path).problem
    assert problem == (
        "HEIC, which needs pillow-heif: pip install 'keras-convnext[heif]', or save it "
        "as JPEG"
    )


def test_with_its_plugin_what_telephones_write_is_read_upright(tmp_path: Path):
    pillow_heif = pytest.importorskip("pillow_heif")
    path, broken = tmp_path / "photo.heic", tmp_path / "broken.heic"
    rows = np.repeat(np.linspace(0, 255, 64, dtype=np.uint8)[:, None], 96, axis=1)
    pixels = np.stack([rows, rows[:, ::-1], 255 - rows], axis=-1)
    exif = Image.Exif()
    exif[0x0112] = 6  # Its top is at the right.
    heif = pillow_heif.from_pillow(Image.fromarray(pixels))
    heif.save(path, quality=95, exif=exif.tobytes())
    found = checked(path, tmp_path)
    assert (found.problem, found.readable.suffix) == ("", ".png")
    upright = np.rot90(pixels, -1).astype(int)
    seen = np.asarray(Image.open(found.readable)).astype(int)
    assert seen.shape == upright.shape
    # Lossy, and its colors are stored at half the size.
    assert np.abs(seen - upright).mean() < 4
    broken.write_bytes(path.read_bytes()[:-300])
    assert checked(broken, tmp_path).problem


def test_a_raw_file_is_not_taken_for_the_thumbnail_in_it(tmp_path: Path):
    # Its first image is a small one, and its header is that of a TIFF.
    path = tmp_path / "DSC_0001.NEF"
    Image.fromarray(ramp(3)).save(path, "TIFF")
    assert checked(path, tmp_path).problem.startswith("a raw file of a camera")
    view = inputs.view(str(path), Preprocessing())
    assert view.image is None
    assert view.problem.startswith(f"{path}: a raw file of a camera")


def test_damage_is_told_apart_from_what_is_no_image(tmp_path: Path):
    whole = io.BytesIO()
    Image.fromarray(ramp(3)).save(whole, "PNG")
    cut = tmp_path / "cut.png"
    cut.write_bytes(whole.getvalue()[:100])
    words = tmp_path / "words.jpg"
    words.write_text("words")
    # Pillow makes an image of it whose lower half is black.
    assert Image.open(cut).convert("RGB").size == (16, 12)
    assert checked(cut, tmp_path).problem.startswith("damaged")
    assert checked(words, tmp_path).problem.startswith("not an image")
    for answer in (checked(cut, tmp_path), checked(words, tmp_path)):
        assert str(tmp_path) not in answer.problem
        assert "\n" not in answer.problem


def test_a_copy_that_cannot_be_written_is_an_error_with_a_way_out(tmp_path: Path):
    path = saved(tmp_path / "one.tif", ramp(3))
    (tmp_path / "copies").write_text("a file where a folder should be")
    with pytest.raises(image_files.DataError, match="Set XDG_CACHE_HOME"):
        checked(path, tmp_path / "copies")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copies", "one.tif"]


@pytest.mark.skipif(not ODD.is_dir(), reason="the odd images are not at hand")
def test_of_93_odd_files_each_is_used_as_pillow_shows_it_or_refused(tmp_path: Path):
    with (ODD / "manifest.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 93
    answers = image_files.check([ODD / row["file"] for row in rows], tmp_path)
    used, refused = 0, []
    for row, answer in zip(rows, answers, strict=True):
        name = row["file"]
        if answer.problem:
            if row["pil13_result"] == "ok":
                refused.append(Path(name).name)
            continue
        seen = read(answer)
        used += 1
        assert row["pil13_result"] == "ok" or "png_decompression_dos" in name
        if row["pil13_result"] != "ok":
            continue
        with Image.open(ODD / name) as opened:
            upright = ImageOps.exif_transpose(opened)
            if upright.mode.startswith("I;16"):
                upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
            wanted = np.asarray(upright.convert("RGB"), int)
        # What a GIF leaves transparent is black here and its palette's first
        # color there.
        if name != "animated/pil_transparent.gif":
            np.testing.assert_allclose(seen, wanted, atol=1, err_msg=name)
    # Black but for its lower eight bits, and one whose checksum is wrong.
    assert refused == ["pil_i_trns.png", "pngs_xcsn0g01.png"]
    assert used == 70


def test_predict_is_told_what_is_to_be_known_of_a_file(tmp_path: Path):
    dark = saved(
        tmp_path / "dark.png", np.arange(4000, dtype=np.uint16).reshape(50, 80)
    )
    good = saved(tmp_path / "good.jpg", np.full((64, 48, 3), 90, np.uint8))
    flawed = tmp_path / "flawed.jpg"
    whole = good.read_bytes()
    flawed.write_bytes(whole[:-2] + bytes(range(1, 9)) + whole[-2:])
    names = [str(path) for path in (dark, good, flawed)] * 3
    [views] = inputs.views(names, Preprocessing(size_px=32), batch=9)
    assert [view.name for view in views] == names
    for first in range(0, 9, 3):
        remarks = [view.remark for view in views[first : first + 3]]
        assert remarks[0].startswith("uses less than a quarter of its 16 bits")
        assert remarks[1] == ""
        assert remarks[2].startswith("is damaged in a way that decoders pass over")
