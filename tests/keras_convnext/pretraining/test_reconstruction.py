"""Masks, patches, the loss and the image that comes out, by closed forms."""

import numpy as np

from keras_convnext.pretraining import (
    cut_patches,
    draw_orders,
    normalize_patches,
    reconstruct,
    reconstruction_losses,
)
from tests.checks import random_images
from tests.keras_convnext.pretraining import sparse_encoder


def test_orders_are_permutations_of_all_kinds_and_repeatable():
    orders = np.asarray(draw_orders(600, 4, seed=1))
    assert (np.sort(orders, axis=1) == np.arange(4)).all()
    np.testing.assert_array_equal(orders, draw_orders(600, 4, seed=1))
    # Each patch is first in a quarter of the images: 150, of deviation 10.6.
    counts = np.bincount(orders[:, 0], minlength=4)
    assert (np.abs(counts - 150) < 5 * 10.6).all()


def test_patches_lie_in_the_order_of_row_column_and_channel():
    image = np.arange(4 * 6 * 3, dtype="float32").reshape(1, 4, 6, 3)
    patches = np.asarray(cut_patches(image, 2))
    assert patches.shape == (1, 6, 12)
    # Patch 4: rows 2 and 3, columns 2 and 3.
    np.testing.assert_array_equal(patches[0, 4], image[0, 2:4, 2:4].reshape(-1))


def test_targets_have_the_unbiased_variance():
    patches = np.random.default_rng(0).normal(3, 7, (2, 5, 12))
    expected = (patches - patches.mean(-1, keepdims=True)) / np.sqrt(
        patches.var(-1, ddof=1, keepdims=True) + 1e-6
    )
    np.testing.assert_allclose(normalize_patches(patches), expected, rtol=1e-6)


def test_the_loss_of_predicting_nothing_is_known():
    # The mean square of n numbers with unbiased variance 1 is (n - 1) / n.
    targets = np.random.default_rng(0).normal(3, 7, (2, 5, 12))
    losses = reconstruction_losses(targets, np.zeros_like(targets))
    np.testing.assert_allclose(losses, [11 / 12, 11 / 12], rtol=1e-6)
    # A patch of one color has variance 0: its target is 0, and not infinite.
    assert (np.asarray(reconstruction_losses(np.ones((1, 1, 3)), 0.0)) == 0).all()


def test_the_true_patches_as_predictions_give_the_image_back():
    random, images = np.random.default_rng(3), random_images(2, 96, 128)
    order = np.stack([random.permutation(12) for _ in range(2)])
    mean, deviation = sparse_encoder.MEAN, sparse_encoder.DEVIATION
    normalized = (images - mean) / deviation
    patches = np.asarray(normalize_patches(cut_patches(normalized, 32)))
    true = np.take_along_axis(patches, order[:, 4:, None], axis=1)
    seen, filled = reconstruct(images, order, true)
    # Rounded to whole numbers.
    assert np.abs(filled - images).max() < 0.51
    gray = (seen == 128).all(-1).reshape(2, 3, 32, 4, 32).all((2, 4)).reshape(2, 12)
    assert [set(np.flatnonzero(row)) for row in gray] == [set(o[4:]) for o in order]
    shown = ~np.kron(gray.reshape(2, 3, 4), np.ones((1, 32, 32))).astype(bool)
    np.testing.assert_array_equal(seen[shown], np.round(images[shown]).astype("uint8"))
