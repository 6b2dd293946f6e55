"""RandAugment: each operation is Pillow's, each dose is timm's, each draw is fair."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from training.augment import affine as geometry
from training.augment import color_ops as operations
from training.augment import rand_augment
from training.recipes import rand_augment_policy

RECORDED = np.load(Path(__file__).parent / "references" / "rand_augment.npz")
FILL = tuple(int(level) for level in RECORDED["fill"])
NAMES = [str(name) for name in RECORDED["names"]]


def images() -> list[np.ndarray]:
    """Fifty images: dark, pale, flat, noisy; some of few levels."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[0:40, 0:48]
    made = []
    for number in range(50):
        waves = np.stack(
            [
                np.sin(rows / generator.uniform(2, 20)) * columns,
                np.cos(columns / generator.uniform(2, 20) + rows / 9) * 40,
                rows * generator.uniform(-2, 2) + columns,
            ],
            axis=-1,
        )
        noise = generator.normal(0, generator.uniform(0, 20), waves.shape)
        levels = (waves + noise) * generator.uniform(0.1, 2) + generator.uniform(
            20, 200
        )
        made.append(np.clip(levels, 0, 255).astype(np.uint8))
        if number % 10 == 0:
            made[-1] = made[-1] // 64 * 64
    made[-1][:] = 77  # One level alone.
    return made


IMAGES = images()


def moved(matrix: Callable[[int, int], tuple]) -> Callable[[Image.Image], Image.Image]:
    def move(image: Image.Image) -> Image.Image:
        return image.transform(
            image.size,
            Image.Transform.AFFINE,
            matrix(*image.size),
            resample=Image.Resampling.BICUBIC,
            fillcolor=FILL,
        )

    return move


def rotated(degrees: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.rotate(
        degrees, resample=Image.Resampling.BICUBIC, fillcolor=FILL
    )


AROUND = np.array(FILL, np.uint8)
COLORS: dict[str, tuple[Callable, Callable]] = {
    "auto_contrast": (operations.auto_contrast, ImageOps.autocontrast),
    "equalize": (operations.equalize, ImageOps.equalize),
    "invert": (operations.invert, ImageOps.invert),
    "gray": (
        lambda x: tf.cast(operations.gray(x), tf.uint8),
        lambda image: image.convert("L").convert("RGB"),
    ),
}
for _bits in (1, 2, 4):
    COLORS[f"posterize_{_bits}"] = (
        lambda x, bits=_bits: operations.posterize(x, tf.constant(bits)),
        lambda image, bits=_bits: ImageOps.posterize(image, bits),
    )
for _threshold in (0, 26, 256):
    COLORS[f"solarize_{_threshold}"] = (
        lambda x, t=_threshold: operations.solarize(x, tf.constant(t)),
        lambda image, t=_threshold: ImageOps.solarize(image, t),
    )
for _name, _change, _enhancer in (
    ("color", operations.color, ImageEnhance.Color),
    ("contrast", operations.contrast, ImageEnhance.Contrast),
    ("brightness", operations.brightness, ImageEnhance.Brightness),
    ("sharpness", operations.sharpness, ImageEnhance.Sharpness),
):
    for _factor in (0.1, 0.77, 1.9):
        COLORS[f"{_name}_{_factor}"] = (
            lambda x, c=_change, f=_factor: c(x, tf.constant(f)),
            lambda image, e=_enhancer, f=_factor: e(image).enhance(f),
        )

MOVES: dict[str, tuple[Callable, Callable]] = {
    "shear_x": (
        lambda x: geometry.shear_x(x, tf.constant(0.27), AROUND),
        moved(lambda w, h: (1, 0.27, 0, 0, 1, 0)),
    ),
    "shear_y": (
        lambda x: geometry.shear_y(x, tf.constant(-0.21), AROUND),
        moved(lambda w, h: (1, 0, 0, -0.21, 1, 0)),
    ),
    "translate_x": (
        lambda x: geometry.translate_x(x, tf.constant(0.31), AROUND),
        moved(lambda w, h: (1, 0, 0.31 * w, 0, 1, 0)),
    ),
    "translate_y": (
        lambda x: geometry.translate_y(x, tf.constant(-0.4), AROUND),
        moved(lambda w, h: (1, 0, 0, 0, 1, -0.4 * h)),
    ),
    "rotate": (
        lambda x: geometry.rotate(x, tf.constant(27.0), AROUND),
        rotated(27.0),
    ),
    "rotate_back": (
        lambda x: geometry.rotate(x, tf.constant(-13.3), AROUND),
        rotated(-13.3),
    ),
}


def eagerly(change: Callable) -> list[np.ndarray]:
    return [change(tf.constant(image)).numpy() for image in IMAGES]


def in_tf_data(change: Callable) -> list[np.ndarray]:
    images = tf.data.Dataset.from_tensor_slices(np.stack(IMAGES))
    return list(images.map(change).as_numpy_iterator())


both_ways = pytest.mark.parametrize("done", [eagerly, in_tf_data])


def difference(found: list[np.ndarray], by_pillow: Callable) -> np.ndarray:
    wanted = [np.asarray(by_pillow(Image.fromarray(x)), int) for x in IMAGES]
    return np.abs(np.stack(found).astype(int) - np.stack(wanted))


@both_ways
@pytest.mark.parametrize("name", COLORS)
def test_operations_on_colors_are_pillows_to_the_bit(name, done):
    change, by_pillow = COLORS[name]
    assert difference(done(change), by_pillow).max() == 0


@both_ways
@pytest.mark.parametrize("name", MOVES)
@pytest.mark.slow
def test_moves_are_pillows_but_for_rounding(name, done):
    change, by_pillow = MOVES[name]
    found = difference(done(change), by_pillow)
    # Pillow computes places in float64 and cuts fractions off: where a sum is all but
    # whole, float32 may fall on the other side.
    assert found.max() <= 1
    assert found.mean() < 0.02


def test_the_operations_are_timms_in_timms_order():
    assert list(rand_augment.OPERATIONS) == NAMES


def performed(number: tf.Tensor, level: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    image = tf.constant(RECORDED["picture"])
    return rand_augment.perform(image, number, level, sign, FILL)


def doses(number: int) -> tuple[tuple, np.ndarray]:
    """What one operation is asked for, and what timm made of it."""
    sides = np.stack(
        [np.repeat(RECORDED["magnitudes"] / 10, 2), np.tile([1.0, -1.0], 4)], axis=1
    )
    levels, signs = np.float32(sides).T
    asked = (np.full(8, number, np.int32), levels, signs)
    return asked, RECORDED["results"][number].reshape((8, *RECORDED["picture"].shape))


def performed_eagerly(asked: tuple) -> list[np.ndarray]:
    return [performed(*map(tf.constant, row)) for row in zip(*asked, strict=True)]


def performed_in_tf_data(asked: tuple) -> list[np.ndarray]:
    rows = tf.data.Dataset.from_tensor_slices(asked)
    return list(rows.map(performed).as_numpy_iterator())


@pytest.mark.parametrize("done", [performed_eagerly, performed_in_tf_data])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow
def test_every_dose_is_timms(name, done):
    asked, wanted = doses(NAMES.index(name))
    found = np.stack(done(asked)).astype(int)
    # One level where float32 and float64 fall on different sides.
    np.testing.assert_allclose(found, wanted, atol=1)
    assert np.abs(found - wanted).mean() < 0.02


def test_the_papers_words_mean_what_timm_understands():
    policy = rand_augment_policy.parse_policy("rand-m9-mstd0.5-inc1")
    magnitude, std, layers, probability = RECORDED["policy"]
    assert policy == rand_augment_policy.Policy(
        magnitude, std, int(layers), probability
    )


@pytest.mark.parametrize(
    "words",
    [
        "m9-inc1",
        "rand-m9",
        "rand-m9-inc0",
        "rand-m9-x3-inc1",
        "rand-m11-inc1",
        "rand-p2-inc1",
        "rand-n0-inc1",
        "rand-m-inc1",
    ],
)
def test_words_that_mean_something_else_are_refused(words):
    with pytest.raises(ValueError, match="rand_augment is"):
        rand_augment_policy.parse_policy(words)


def test_each_operation_comes_up_as_often_as_the_others(monkeypatch):
    count = 1500
    # Every operation adds a number of its own, so that a sum tells which were chosen.
    marks = {
        name: (lambda x, *_, amount=amount: x + tf.cast(amount, tf.uint8))
        for amount, name in enumerate(NAMES, 1)
    }
    monkeypatch.setattr(rand_augment, "OPERATIONS", marks)
    one_layer = rand_augment_policy.parse_policy("rand-m9-n1-inc1")
    zero = tf.zeros([2, 2, 3], tf.uint8)
    seeds = tf.data.Dataset.range(count).map(
        lambda n: rand_augment.apply_rand_augment(
            zero, tf.stack([n, tf.constant(5, tf.int64)]), one_layer, FILL
        )[0, 0, 0]
    )
    found = np.bincount(list(seeds.as_numpy_iterator()), minlength=16)
    assert len(found) == 16
    # Half do nothing, the fifteen share the rest; five standard deviations each.
    for number, share in zip(found, [0.5] + [0.5 / 15] * 15, strict=True):
        assert abs(number - count * share) < 5 * (count * share * (1 - share)) ** 0.5


def test_magnitudes_are_drawn_around_the_mean_and_signs_are_even(monkeypatch):
    def shows_dose(image, level, sign, fill):
        value = tf.cast(tf.round(100 * level), tf.uint8)
        return image + value + tf.where(sign > 0, tf.constant(100, tf.uint8), 0)

    marks = dict.fromkeys(NAMES, shows_dose)
    monkeypatch.setattr(rand_augment, "OPERATIONS", marks)
    policy = rand_augment_policy.parse_policy("rand-m5-mstd0.5-n1-p1-inc1")
    zero = tf.zeros([1, 1, 3], tf.uint8)
    drawn = tf.data.Dataset.range(1000).map(
        lambda n: rand_augment.apply_rand_augment(
            zero, tf.stack([n, tf.constant(6, tf.int64)]), policy, FILL
        )[0, 0, 0]
    )
    values = np.array(list(drawn.as_numpy_iterator()), int)
    assert abs((values > 100).sum() - 500) < 5 * (1000 / 4) ** 0.5
    levels = values % 100
    # Mean 50, spread 5; five standard errors of each.
    assert abs(levels.mean() - 50) < 5 * 5 / 1000**0.5
    assert abs(levels.std() - 5) < 5 * 5 / 2000**0.5


def test_at_the_highest_magnitude_posterize_keeps_nothing():
    # 4 - int(4 * 10 / 10) bits, which earlier Pillows made black and this one refuses.
    found = rand_augment.perform(
        tf.constant(IMAGES[0]),
        tf.constant(NAMES.index("PosterizeIncreasing")),
        tf.constant(1.0),
        tf.constant(1.0),
        FILL,
    )
    np.testing.assert_array_equal(found, 0)
