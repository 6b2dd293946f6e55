"""Weights against scikit-learn's and SciPy's, draws against counting."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight

from keras_convnext._data.data_error import DataError
from training import data
from training.data import class_balance
from training.data.class_sampling import draw_equally
from training.data.examples import Encoded
from training.data.pipeline import WorkerShard
from training.recipes.augmentation import Augmentation
from training.recipes.table import resolve
from training.tasks import CLASSIFICATION, MULTI_LABEL

LABELS = np.repeat([0, 1, 2], (30, 12, 4)).astype(np.int32)
ALONE = (WorkerShard(8),)
CLASSES = ("many", "some", "few")
LOGITS = np.random.default_rng(0).normal(size=(46, 3)).astype(np.float32)


def source_of(labels, classes=CLASSES, size_px=8):
    images = np.zeros((len(labels), size_px, size_px, 3), np.uint8)
    # Each image has its own number as its color.
    images[:] = np.arange(len(labels))[:, None, None, None]
    few = (images[:2], labels[:2])
    return data.from_arrays(images, labels, *few, classes, name="uneven")


def losses_of(task, source, *changes):
    recipe = resolve("demo", ["label_smoothing=0", *changes])
    return task.make_losses(recipe, source)


def test_class_weights_equal_those_of_scikit_learn():
    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    weights = class_balance.class_weights(source_of(LABELS))
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert np.mean(weights[LABELS]) == pytest.approx(1)


def test_a_class_without_training_images_changes_no_other_weight():
    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    weights = class_balance.class_weights(source_of(LABELS, (*CLASSES, "none")))
    np.testing.assert_allclose(weights, [*expected, 1], rtol=1e-6)


def test_the_weighted_loss_is_that_of_scikit_learn():
    source = source_of(LABELS)
    rows = losses_of(CLASSIFICATION, source, "class_balance=weights")(
        tf.constant(LOGITS), tf.constant(LABELS)
    )
    weights = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    probabilities = tf.nn.softmax(LOGITS.astype(np.float64)).numpy()
    expected = log_loss(LABELS, probabilities, sample_weight=weights[LABELS])
    assert np.mean(rows["loss"]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_mixed_image_has_the_weighted_losses_of_both(loss, smoothing):
    chosen = (f"loss={loss}", f"label_smoothing={smoothing}")
    weights = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    source = source_of(LABELS)
    plain = losses_of(CLASSIFICATION, source, *chosen)
    weighted = losses_of(CLASSIFICATION, source, *chosen, "class_balance=weights")
    logits = tf.constant(LOGITS[:1])
    shares = tf.constant([[0.7, 0.0, 0.3]])
    first, second = (
        plain(logits, tf.constant([number]))["loss"].numpy() for number in (0, 2)
    )
    expected = 0.7 * weights[0] * first + 0.3 * weights[2] * second
    np.testing.assert_allclose(weighted(logits, shares)["loss"], expected, rtol=1e-5)


def test_the_gradient_of_weighted_classes_is_the_closed_form():
    logits, shares = tf.constant(LOGITS[:2]), np.array([[0.7, 0, 0.3], [0, 1, 0]])
    losses = losses_of(CLASSIFICATION, source_of(LABELS), "class_balance=weights")
    with tf.GradientTape() as tape:
        tape.watch(logits)
        total = tf.reduce_sum(losses(logits, tf.constant(shares, tf.float32))["loss"])
    weights = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    weighted = shares * weights
    softmax = tf.nn.softmax(LOGITS[:2].astype(np.float64)).numpy()
    expected = weighted.sum(1, keepdims=True) * softmax - weighted
    np.testing.assert_allclose(tape.gradient(total, logits), expected, atol=1e-6)


def test_labels_that_apply_count_as_much_as_those_that_do_not():
    truth = np.array([[1, 0], [0, 1], [0, 1], [0, 1], [0, 1]], np.float32)
    source = source_of(LABELS[:5], CLASSES[:2])
    source = dataclasses.replace(
        source, training=dataclasses.replace(source.training, labels=truth)
    )
    losses = losses_of(
        MULTI_LABEL, source, "target=labels", "loss=sigmoid", "class_balance=weights"
    )
    logits = LOGITS[:5, :2]
    chances = 1 / (1 + np.exp(-logits.astype(np.float64)))
    # Of the first label one image in five, of the second four: 4 and 1/4.
    factors = np.where(truth == 1, [4, 0.25], 1)
    expected = -factors * np.log(np.where(truth == 1, chances, 1 - chances))
    rows = losses(tf.constant(logits), tf.constant(truth))
    np.testing.assert_allclose(rows["loss"], expected.mean(1), rtol=1e-5)


def test_each_class_is_drawn_equally_often_and_no_image_twice_too_soon():
    drawn = draw_equally(LABELS, np.random.default_rng(0))
    assert sorted(np.bincount(LABELS[drawn])) == [15, 15, 16]
    times = np.bincount(drawn, minlength=len(LABELS))
    assert times[LABELS == 0].max() == 1  # of 30 images at most 16
    for name in (1, 2):
        assert np.ptp(times[name == LABELS]) <= 1


def batches_of(epoch=0, start_batch=0, shards=ALONE):
    """Returns the images and labels of an epoch, the shards of a batch side by side."""
    recipe = dataclasses.replace(
        resolve("demo", ["size_px=8", "class_balance=sampling"]),
        augmentation=Augmentation(),
    )
    parts = [
        CLASSIFICATION.training_batches(
            source_of(LABELS), recipe, shard, epoch, start_batch
        ).as_numpy_iterator()
        for shard in shards
    ]
    return [
        (
            np.concatenate([images[:, 0, 0, 0] for images, _ in rows]),
            np.concatenate([labels for _, labels in rows]),
        )
        for rows in zip(*parts, strict=True)
    ]


def same(one, other):
    return len(one) == len(other) and all(
        np.array_equal(a, b)
        for left, right in zip(one, other, strict=True)
        for a, b in zip(left, right, strict=True)
    )


def test_sampled_epochs_are_balanced_and_images_keep_their_labels():
    batches = batches_of()
    assert len(batches) == 5
    images, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
    np.testing.assert_array_equal(LABELS[images], labels)
    # The six images of a batch that is not full are left out.
    assert np.ptp(np.bincount(labels)) <= 7
    assert np.bincount(labels)[2] > 8  # of the 4 there are


def test_sampled_epochs_are_the_same_again_resumed_and_shared():
    batches = batches_of(epoch=3)
    assert same(batches_of(epoch=3), batches)
    assert not same(batches_of(epoch=4), batches)
    assert same(batches_of(epoch=3, start_batch=2), batches[2:])
    shared = tuple(WorkerShard(8, worker, 2) for worker in range(2))
    assert same(batches_of(epoch=3, shards=shared), batches)


def test_images_whose_classes_nobody_knows_are_refused_in_a_line():
    streamed = dataclasses.replace(
        source_of(LABELS), training=Encoded(46, lambda seed: None)
    )
    class_balance.check(streamed, "none")
    with pytest.raises(DataError, match="class_balance=weights must know") as error:
        class_balance.check(streamed, "weights")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        ["class_balance=both"],
        ["target=labels", "class_balance=sampling"],
        ["target=labels", "loss=focal", "class_balance=weights"],
        ["target=number", "class_balance=weights"],
    ],
)
def test_other_balances_are_refused(changes):
    with pytest.raises(ValueError, match="class_balance is"):
        resolve("demo", changes)


def test_a_run_says_what_was_balanced():
    source = source_of(LABELS)
    [uneven] = class_balance.notices(source)
    assert "--set class_balance=weights" in uneven
    [weights] = class_balance.notices(source, "weights")
    assert "from 0.511 (many) to 3.83 times (few)" in weights
    [sampling] = class_balance.notices(source, "sampling")
    assert "15 images of each class, of 4 to 30 that there are" in sampling
