"""The digits: real ones, through tensorflow-datasets, in a fixed split."""

import os
import stat
import subprocess
import sys
from importlib import util
from pathlib import Path

import numpy as np
import pytest

from training import data
from training.data.readers import digits
from training.recipes.augmentation import Augmentation

ORIGINAL = pytest.importorskip(
    "sklearn.datasets", reason="scikit-learn carries the digits"
).load_digits()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture(scope="module")
def source(data_dir: Path) -> data.Source:
    return data.load("digits", size_px=32, data_dir=str(data_dir))


def all_images(of: data.Source) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every image, its label, and whether it is for training."""
    train = of.train(
        1, epoch=0, seed=0, augment=Augmentation(), drop_remainder=False
    ).as_numpy_iterator()
    validation = of.validation_batches(1).as_numpy_iterator()
    rows = [(images[0], labels[0], True) for images, labels in train]
    rows += [(images[0], labels[0], False) for images, labels, _ in validation]
    images, labels, is_train = zip(*rows, strict=True)
    return np.stack(images), np.array(labels), np.array(is_train)


def test_every_digit_of_scikit_learn_is_there_once(source):
    images, labels, _ = all_images(source)
    assert source.train_examples + source.validation_examples == 1797
    assert images.shape == (1797, 32, 32, 3)
    # In steps of 0..16, the middle of each enlarged pixel; bicubic enlarging keeps
    # it within one step of the original.
    found = images[:, 1::4, 1::4, 0].astype(float) / 255 * 16
    found_keys = sorted((labels[i], found[i].mean().round(2)) for i in range(1797))
    wanted = np.round([np.mean(one) for one in ORIGINAL.images], 2)
    wanted_keys = sorted(zip(ORIGINAL.target, wanted, strict=True))
    assert [key[0] for key in found_keys] == [key[0] for key in wanted_keys]
    np.testing.assert_allclose(
        [key[1] for key in found_keys], [key[1] for key in wanted_keys], atol=0.5
    )


def test_the_split_is_stratified_and_about_one_in_five(source):
    _, labels, is_train = all_images(source)
    for digit in range(10):
        total = int((ORIGINAL.target == digit).sum())
        validation = int(((labels == digit) & ~is_train).sum())
        assert validation == total // 5


def test_the_classes_are_the_ten_digits_and_nothing_is_cropped(source):
    assert source.classes == tuple("0123456789")
    assert source.preprocessing.size_px == 32
    assert source.preprocessing.crop_fraction == 1.0


def test_an_enlarged_digit_keeps_its_brightness_and_has_no_color():
    image = digits.enlarge(np.full((8, 8), 16.0))
    np.testing.assert_array_equal(image, 255)
    half = digits.enlarge(np.full((8, 8), 8.0))
    np.testing.assert_array_equal(half, 128)  # 127.5, rounded to even
    image = digits.enlarge(ORIGINAL.images[0])
    assert image.shape == (32, 32, 3)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image[..., 0], image[..., 2])


@pytest.mark.slow
@pytest.mark.usefixtures("source")
def test_a_second_load_reads_what_the_first_one_prepared(data_dir: Path):
    records = sorted(data_dir.rglob("*.tfrecord*"))
    assert records
    written = [file.stat().st_mtime_ns for file in records]
    data.load("digits", size_px=32, data_dir=str(data_dir))
    assert [file.stat().st_mtime_ns for file in records] == written


def test_without_scikit_learn_one_line_says_how_to_install_it(monkeypatch):
    find = util.find_spec
    monkeypatch.setattr(
        util, "find_spec", lambda name: None if name == "sklearn" else find(name)
    )
    with pytest.raises(data.DataError, match="pip install scikit-learn") as caught:
        data.load("digits", size_px=32)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_cannot_be_written_to_is_named(tmp_path: Path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(data.DataError, match=str(tmp_path)):
        data.load("digits", size_px=32, data_dir=str(tmp_path / "below"))


@pytest.mark.slow  # half a minute
def test_loading_digits_prints_nothing_of_tensorflow_datasets(tmp_path: Path):
    program = (
        "from training import data\n"
        f"data.load('digits', size_px=32, data_dir={str(tmp_path)!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.stdout == ""
    # What TensorFlow says of the processor while it is imported is not meant here.
    assert "tfds" not in done.stderr
    assert "dataset" not in done.stderr.lower()
    assert "examples" not in done.stderr
