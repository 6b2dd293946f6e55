"""Augmentation and mixing in JAX do what those in TensorFlow do."""

from dataclasses import fields

import numpy as np
import pytest
import tensorflow as tf

jax = pytest.importorskip("jax")

from training.augment import mixup_cutmix  # noqa: E402
from training.jax_engine import augment  # noqa: E402
from training.recipes.augmentation import Augmentation  # noqa: E402

SIZE = (16, 12)


@pytest.fixture
def images():
    random = np.random.default_rng(0)
    return random.integers(0, 256, (6, *SIZE, 3)).astype(np.uint8)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("middle", [(0, 0), (8, 6), (15, 11), (3, 10)])
def test_boxes_are_those_of_the_tensorflow_pipeline(images, share, middle):
    expected, kept = mixup_cutmix.paste_around(
        tf.constant(images), tf.constant(share), tf.constant(middle)
    )
    got, share_kept = augment.paste_around(images, np.float32(share), np.array(middle))
    np.testing.assert_array_equal(got, expected)
    assert float(share_kept) == pytest.approx(float(kept), abs=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.7, 1.0])
def test_blends_are_those_of_the_tensorflow_pipeline(images, share):
    expected = mixup_cutmix.mixup(tf.constant(images), tf.constant(share))
    got = augment.mixup(images, np.float32(share))
    # A half is rounded to either side, as the product before it was.
    assert np.abs(np.asarray(got, int) - expected.numpy().astype(int)).max() <= 1
    assert np.mean(np.asarray(got) == expected.numpy()) > 0.99


def test_every_image_is_moved_on_its_own_and_reflected_at_the_border(images):
    most = 3
    got = np.asarray(augment.shift(images, jax.random.key(1), most))
    around = [(most, most), (most, most), (0, 0)]
    found = []
    for before, after in zip(images, got, strict=True):
        padded = np.pad(before, around, mode="reflect")
        places = [
            (row, column)
            for row in range(2 * most + 1)
            for column in range(2 * most + 1)
            if (padded[row : row + 16, column : column + 12] == after).all()
        ]
        assert len(places) == 1
        found += places
    assert len(set(found)) > 3


def test_about_half_are_mirrored(images):
    many = np.repeat(images, 50, axis=0)
    got = np.asarray(augment.augment(many, jax.random.key(2), Augmentation(flip=True)))
    mirrored = (got == many[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (mirrored | (got == many).all(axis=(1, 2, 3))).all()
    # Four deviations of 300 fair coins.
    assert abs(mirrored.mean() - 0.5) < 4 * 0.5 / np.sqrt(300)


def test_the_same_key_gives_the_same_views(images):
    asked = Augmentation(flip=True, shift_px=2)
    first, same, other = (
        np.asarray(augment.augment(images, jax.random.key(key), asked))
        for key in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_labels_are_mixed_in_the_share_of_the_images(kind):
    # Images of one value each: what is left of it tells the share.
    images = np.zeros((2, 64, 64, 3), np.uint8)
    images[1] = 250
    asked = Augmentation(**{kind: 1.0})
    shares = []
    for key in range(8):
        got, targets = augment.mixup_cutmix(
            images, np.arange(2), jax.random.key(key), 2, asked
        )
        share = float(targets[0, 0])
        np.testing.assert_allclose(np.sum(targets, axis=1), 1.0, atol=1e-6)
        assert np.mean(got[0]) / 250 == pytest.approx(1 - share, abs=0.003)
        shares.append(share)
    assert max(shares) - min(shares) > 0.3


def test_some_batches_are_left_as_they_are(images):
    asked = Augmentation(cutmix=1.0, mix_probability=0.25)
    left = [
        np.array_equal(
            augment.mixup_cutmix(images, np.arange(6), jax.random.key(key), 6, asked)[
                0
            ],
            images,
        )
        for key in range(40)
    ]
    assert 20 <= sum(left) < 40


def test_both_kinds_of_mixing_take_turns():
    images = np.zeros((2, 32, 32, 3), np.uint8)
    images[1] = 250
    asked = Augmentation(mixup=1.0, cutmix=1.0, mix_switch_probability=0.5)
    kinds = set()
    for key in range(20):
        got, _ = augment.mixup_cutmix(
            images, np.arange(2), jax.random.key(key), 2, asked
        )
        values = len(np.unique(got[0]))
        kinds.add("cutmix" if values == 2 else "one value")
    assert kinds == {"cutmix", "one value"}


def test_what_is_not_here_are_fields_of_an_augmentation():
    assert set(augment.NOT_HERE) < {each.name for each in fields(Augmentation)}
