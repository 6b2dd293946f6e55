"""Losses and counts of label maps, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from keras_convnext.segmentation import count_pixels
from training.recipes import resolve
from training.tasks import SEGMENTATION, pixel_losses

CLASSES = 3
SHAPE = (2, 5, 4)


@pytest.fixture
def batch():
    """Two heads' logits, and masks of which the second image has few labels."""
    rng = np.random.default_rng(0)
    heads = rng.normal(size=(2, *SHAPE, CLASSES)).astype(np.float32)
    masks = rng.integers(0, CLASSES, SHAPE).astype(np.uint8)
    masks[0, 0] = masks[1, 1:] = 255
    return heads, masks


def losses_by_hand(logits, masks, loss_over):
    """Each image's loss and its slope to the logits, in float64."""
    logits = logits.astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    losses, slopes = np.zeros(len(masks)), np.zeros_like(logits)
    for image, row, column in np.ndindex(masks.shape):
        label = masks[image, row, column]
        if label == 255:
            continue
        pixels = masks[image].size
        if loss_over == "valid":
            pixels = (masks[image] != 255).sum()
        place = image, row, column
        losses[image] -= np.log(shares[place][label]) / pixels
        slopes[place] = (shares[place] - np.eye(CLASSES)[label]) / pixels
    return losses, slopes


@pytest.mark.parametrize("loss_over", ["all", "valid"])
def test_loss_and_slopes_of_both_heads_are_the_formulas(batch, loss_over):
    heads, masks = batch
    recipe = resolve("finetune_segment_small", [f"loss_over={loss_over}"])
    main, auxiliary = (tf.constant(each) for each in heads)
    with tf.GradientTape() as tape:
        tape.watch([main, auxiliary])
        rows = SEGMENTATION.make_losses(recipe, None)([main, auxiliary], masks)
    slopes = tape.gradient(rows["loss"], [main, auxiliary])
    expected, first = losses_by_hand(heads[0], masks, loss_over)
    others, second = losses_by_hand(heads[1], masks, loss_over)
    np.testing.assert_allclose(rows["loss"], expected + 0.4 * others, rtol=1e-6)
    np.testing.assert_allclose(rows["auxiliary_loss"], others, rtol=1e-6)
    np.testing.assert_allclose(slopes[0], first, atol=1e-7)
    np.testing.assert_allclose(slopes[1], 0.4 * second, atol=1e-7)


def test_pixels_without_a_label_make_the_loss_over_all_smaller(batch):
    heads, masks = batch
    losses, valid = pixel_losses.cross_entropies(masks, heads[0])
    over_all, over_valid = (
        pixel_losses.mean_over(name, losses, valid).numpy() for name in ("all", "valid")
    )
    # 16 and 4 of 20 pixels have a label.
    np.testing.assert_allclose(over_all / over_valid, [16 / 20, 4 / 20], rtol=1e-6)


@pytest.mark.parametrize("loss_over", ["all", "valid"])
def test_an_image_without_labels_teaches_nothing(batch, loss_over):
    heads, _ = batch
    masks = np.full(SHAPE, 255, np.uint8)
    losses, valid = pixel_losses.cross_entropies(masks, heads[0])
    assert pixel_losses.mean_over(loss_over, losses, valid).numpy().tolist() == [0, 0]
    shares = pixel_losses.pixel_accuracy(masks, heads[0], valid)
    assert shares.numpy().tolist() == [0, 0]


def test_pixels_are_counted_image_by_image_whatever_their_size(batch):
    heads, masks = batch
    spec = [tf.TensorSpec([None] * 3, tf.uint8), tf.TensorSpec([None] * 3 + [CLASSES])]
    count = tf.function(pixel_losses.count_pixels, input_signature=spec)
    for some in (slice(0, 2), slice(1, 2)):
        counts = count(masks[some], heads[0][some]).numpy()
        for found, mask, logits in zip(
            counts, masks[some], heads[0][some], strict=True
        ):
            expected = count_pixels(mask, logits.argmax(-1), CLASSES)
            np.testing.assert_array_equal(found.reshape(CLASSES, CLASSES), expected)


def test_the_share_of_right_pixels_leaves_out_those_without_a_label(batch):
    heads, masks = batch
    _, valid = pixel_losses.cross_entropies(masks, heads[0])
    shares = pixel_losses.pixel_accuracy(masks, heads[0], valid)
    right = heads[0].argmax(-1) == masks
    expected = [right[0, 1:].mean(), right[1, :1].mean()]
    np.testing.assert_allclose(shares, expected, rtol=1e-6)
