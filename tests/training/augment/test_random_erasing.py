"""Random erasing, color jitter and repeated augmentation."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance

from keras_convnext.preprocessing import Preprocessing
from training import data
from training.augment import color_jitter, random_erasing
from training.recipes.augmentation import Augmentation

BOXES = json.loads(
    (Path(__file__).parent / "references" / "erased_boxes.json").read_text()
)


def over_seeds(function, count: int) -> np.ndarray:
    """What a function of a seed gives, inside of tf.data."""
    seeds = tf.data.Dataset.range(count).map(
        lambda number: function(tf.stack([number, tf.constant(1, tf.int64)])),
        num_parallel_calls=2,
    )
    return np.stack(list(seeds.as_numpy_iterator()))


def test_boxes_are_distributed_as_timm_draws_them():
    height, width, count = BOXES["height"], BOXES["width"], BOXES["draws"] // 4
    drawn = over_seeds(
        lambda s: tf.stack(random_erasing.sample_box(height, width, s)), count
    )
    top, left, tall, wide = drawn.T.astype(float)
    assert min(top.min(), left.min()) >= 0
    assert (top + tall <= height).all()
    assert (left + wide <= width).all()
    found = {
        "area": tall * wide / (height * width),
        "log_ratio": np.log(tall / wide),
        "middle_row": (top + tall / 2) / height,
        "middle_column": (left + wide / 2) / width,
    }
    for name, values in found.items():
        # Five standard errors of the difference of the means.
        error = BOXES["std"][name] * (1 / count + 1 / BOXES["draws"]) ** 0.5
        assert abs(values.mean() - BOXES["mean"][name]) < 5 * error, name
        np.testing.assert_allclose(values.std(), BOXES["std"][name], rtol=0.05)


def test_erasing_leaves_the_rest_alone_and_comes_as_often_as_asked():
    gray = np.full((32, 32, 3), 7, np.uint8)
    views = over_seeds(
        lambda s: random_erasing.random_erase(
            tf.constant(gray), s, 0.25, Preprocessing()
        ),
        400,
    )
    changed = (views != 7).any(axis=-1)
    hit = changed.any(axis=(1, 2))
    assert abs(hit.sum() - 100) < 5 * (400 * 0.25 * 0.75) ** 0.5
    for one in changed[hit]:
        rows, columns = np.flatnonzero(one.any(1)), np.flatnonzero(one.any(0))
        box = one[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        # Noise of the very level that was there before is rare.
        assert box.mean() > 0.95


def test_erasing_noise_has_the_mean_and_spread_of_normalized_images():
    # Narrow enough that 0..255 cuts nothing off.
    narrow = Preprocessing(mean=(0.3, 0.5, 0.6), std=(0.04, 0.06, 0.05))
    black = np.zeros((32, 32, 3), np.uint8)
    views = over_seeds(
        lambda s: random_erasing.random_erase(tf.constant(black), s, 1.0, narrow), 100
    )
    noise = views[views.any(axis=-1)]
    assert len(noise) > 10_000
    # Five standard errors; rounding adds a spread of 0.3 levels, below 1 %.
    error = 5 * 255 * np.array(narrow.std) / len(noise) ** 0.5
    np.testing.assert_array_less(
        np.abs(noise.mean(axis=0) - 255 * np.array(narrow.mean)), error
    )
    np.testing.assert_allclose(noise.std(axis=0), 255 * np.array(narrow.std), rtol=0.05)


def test_jitter_is_pillows_three_changes_in_some_order():
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    orders = set()
    for number in range(20):
        seed = tf.constant([number, 2], tf.int64)
        found = color_jitter.jitter_colors(tf.constant(image), seed, 0.4).numpy()
        # The first row of the draws gives the factors, by the function's own seed.
        uniform = tf.random.stateless_uniform([2, 3], seed).numpy()[0]
        factors = 0.6 + 0.8 * uniform
        for order in itertools.permutations(range(3)):
            changed = Image.fromarray(image)
            for place in order:
                changed = enhancers[place](changed).enhance(float(factors[place]))
            if np.array_equal(np.asarray(changed), found):
                orders.add(order)
                break
        else:
            pytest.fail(f"no order of the three changes gives what seed {number} gave")
    assert len(orders) >= 4


def repeated(repeats: int, **more) -> list:
    images = np.zeros((12, 8, 8, 3), np.uint8)
    images[:] = 20 * np.arange(12)[:, None, None, None]
    source = data.from_arrays(
        images, np.arange(12), images, np.arange(12), "abcdefghijkl"
    )
    augment = Augmentation(repeats=repeats, random_erasing=1.0)
    batches = source.train(6, epoch=0, seed=0, augment=augment, **more)
    return list(batches.as_numpy_iterator())


def test_repeats_show_each_chosen_image_again_changed_in_another_way():
    batches = repeated(3)
    labels = np.concatenate([labels for _, labels in batches])
    images = np.concatenate([images for images, _ in batches])
    assert len(labels) == 12
    assert sorted(np.bincount(labels, minlength=12)) == [0] * 8 + [3] * 4
    for label in np.unique(labels):
        views = images[labels == label]
        assert (views[0] != views[1]).any()
        assert (views[1] != views[2]).any()


def test_an_epoch_of_repeats_can_be_entered_midway():
    for found, wanted in zip(repeated(3, start_batch=1), repeated(3)[1:], strict=True):
        np.testing.assert_array_equal(found[0], wanted[0])


def test_mistakes_in_the_newer_fields_are_refused_together():
    with pytest.raises(ValueError, match="Not an augmentation") as caught:
        Augmentation(
            rand_augment="rand-q9", random_erasing=1.5, repeats=0, color_jitter=-1
        )
    for name in ("rand_augment", "random_erasing", "repeats", "color_jitter"):
        assert name in str(caught.value)
