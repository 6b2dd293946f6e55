"""Crops, flips and shifts: against timm, Pillow and closed forms."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_convnext.preprocessing import Preprocessing
from training.augment import random_crop, transforms
from training.data import decoding, examples
from training.recipes.augmentation import Augmentation

REFERENCES = Path(__file__).parent / "references"
WINDOWS = json.loads((REFERENCES / "crop_windows.json").read_text())


def seeds(count: int) -> tf.Tensor:
    return tf.stack([tf.fill([count], 7), tf.range(count)], axis=1)


def photograph(height: int, width: int) -> np.ndarray:
    """Smooth colors with some noise, unlike under any flip or turn."""
    generator = np.random.default_rng(height * 1000 + width)
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [
        np.sin(rows / 9) * 60 + columns * 120 / width,
        np.cos(columns / 7 + rows / 11) * 80 + 90,
        rows * 200 / height,
    ]
    noise = generator.normal(30, 8, (height, width, 3))
    return np.clip(np.stack(waves, -1) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "reference", WINDOWS["pictures"], ids=lambda one: f"{one['height']}x{one['width']}"
)
@pytest.mark.slow
def test_crop_windows_are_distributed_as_timm_draws_them(reference):
    height, width = reference["height"], reference["width"]
    count = WINDOWS["draws"]

    def draw(seed: tf.Tensor) -> tf.Tensor:
        return tf.stack(
            random_crop.sample_crop(
                height, width, seed, WINDOWS["scale"], WINDOWS["ratio"]
            )
        )

    drawn = tf.function(lambda all_: tf.vectorized_map(draw, all_))(seeds(count))
    top, left, tall, wide = drawn.numpy().T.astype(float)
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + tall <= height).all()
    assert (left + wide <= width).all()
    found = {
        "area": tall * wide / (height * width),
        "log_ratio": np.log(wide / tall),
        "middle_row": (top + tall / 2) / height,
        "middle_column": (left + wide / 2) / width,
        "top_squared": (top / height) ** 2,
        "left_squared": (left / width) ** 2,
    }
    for name, values in found.items():
        # Five standard errors of the difference between two means of 20,000 draws,
        # and a hair where nothing is random.
        allowed = 5 * reference["std"][name] * (2 / count) ** 0.5 + 1e-6
        assert abs(values.mean() - reference["mean"][name]) < allowed, name
        if not name.endswith("squared"):
            # The spread itself is known to about 1 %; of squares, less well.
            np.testing.assert_allclose(
                values.std(), reference["std"][name], rtol=0.04, atol=1e-6, err_msg=name
            )


@pytest.mark.parametrize("sides", [(90, 90), (40, 120), (20, 25), (32, 32)])
@pytest.mark.parametrize("kind", ["bicubic", "bilinear"])
def test_resizing_is_pillows(sides, kind):
    image = photograph(*sides)
    view = random_crop.resize_to_square(tf.constant(image), 32, kind)
    method = Image.Resampling[kind.upper()]
    wanted = Image.fromarray(image).resize((32, 32), method)
    # Pillow's weights are whole multiples of 2**-22 and it rounds between its passes.
    np.testing.assert_allclose(view, np.asarray(wanted, float), atol=1)


def test_the_crop_that_is_decoded_is_the_window_of_the_whole_image(tmp_path: Path):
    image = photograph(80, 120)
    path = str(tmp_path / "one.png")
    Image.fromarray(image).save(path)
    half = Augmentation(crop_scale=(0.2, 0.6))
    for way in (decoding.GENERAL, decoding.UPRIGHT_PNG):
        files = examples.Files(
            (path,), np.zeros(1, np.int32), np.array([way], np.int32)
        )
        for number in range(3):
            seed = tf.constant([3, number], tf.int64)
            window = transforms.crop(seed, half)
            top, left, tall, wide = (int(side) for side in window(80, 120))
            part, _ = files.image(tf.constant(0), window)
            np.testing.assert_array_equal(
                part, image[top : top + tall, left : left + wide]
            )
            assert 0.15 < tall * wide / (80 * 120) < 0.65


def test_half_of_the_images_are_mirrored_and_none_otherwise_changed():
    image = photograph(12, 12)
    flip = Augmentation(flip=True)
    same = Preprocessing(size_px=12, crop_fraction=1.0)
    view = tf.function(lambda seed: transforms.augment(image, seed, flip, same))
    views = np.stack([view(seed) for seed in seeds(400)])
    mirrored = (views == image[:, ::-1]).all(axis=(1, 2, 3))
    kept = (views == image).all(axis=(1, 2, 3))
    assert (mirrored ^ kept).all()
    # Five standard deviations of 400 fair coins.
    assert abs(mirrored.sum() - 200) < 50


def test_a_shift_is_a_window_of_the_reflected_image_and_all_windows_come_up():
    image = photograph(8, 8)
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="reflect")
    windows = {
        padded[row : row + 8, column : column + 8].tobytes(): (row, column)
        for row in range(5)
        for column in range(5)
    }
    shift = tf.function(lambda seed: transforms.random_shift(image, seed, 2))
    seen = {windows[shift(seed).numpy().tobytes()] for seed in seeds(300)}
    # The chance to miss one of 25 in 300 draws is below 25 * (24/25)**300 = 1e-4,
    # and the seeds are fixed.
    assert len(seen) == 25


def test_without_augmentation_the_view_is_the_one_of_evaluation():
    image = photograph(50, 70)
    squash = Preprocessing(size_px=32, crop_fraction=1.0, crop_mode="squash")
    view = transforms.augment(
        tf.constant(image), tf.constant([0, 0]), Augmentation(), squash
    )
    wanted = Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC)
    np.testing.assert_allclose(view, np.asarray(wanted, float), atol=1)


def test_mistaken_numbers_are_refused_all_at_once():
    with pytest.raises(ValueError, match="Not an augmentation") as caught:
        Augmentation(
            crop_scale=(0.5, 0.1), crop_ratio=(0.0, 1.0), shift_px=-1, mix_probability=2
        )
    for name in ("crop_scale", "crop_ratio", "shift_px", "mix_probability"):
        assert name in str(caught.value)


LIVELY = Augmentation(
    crop_scale=(0.3, 0.9),
    flip=True,
    shift_px=2,
    rand_augment="rand-m9-mstd0.5-inc1",
    random_erasing=0.5,
)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(LIVELY, id="RandAugment"),
        pytest.param(
            replace(LIVELY, rand_augment="", color_jitter=0.4),
            id="color jitter",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_view_is_the_same_eagerly_and_inside_of_tf_data(changes):
    image, small = photograph(60, 70), Preprocessing(size_px=32)

    def view(seed: tf.Tensor) -> tf.Tensor:
        window = transforms.crop(seed, changes)
        part = decoding.cut_out(tf.constant(image), window)
        return transforms.augment(part, seed, changes, small)

    seeds_here = tf.cast(seeds(12), tf.int64)
    inside = tf.data.Dataset.from_tensor_slices(seeds_here).map(view)
    for seed, wanted in zip(seeds_here, inside.as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(view(seed), wanted)
