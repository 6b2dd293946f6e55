"""Targets and losses, against their formulas."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from training.recipes import limits
from training.recipes import targets as recipe_targets
from training.tasks import TASKS
from training.tasks import losses as objective

LOGITS = np.array([[2.0, -1.0, 0.0], [0.5, 30.0, -40.0]], np.float32)
TARGETS = np.array([[0.7, 0.3, 0.0], [0.05, 0.9, 0.05]], np.float32)


def test_class_numbers_become_smoothed_targets():
    targets = objective.soft_targets(
        tf.constant([0, 2]), classes=4, label_smoothing=0.2
    )
    # 1 - 0.2 + 0.2 / 4 and 0.2 / 4.
    np.testing.assert_allclose(
        targets, [[0.85, 0.05, 0.05, 0.05], [0.05, 0.05, 0.85, 0.05]], rtol=1e-6
    )


def test_mixed_labels_are_smoothed_as_one_hot_ones_are():
    mixed = tf.constant([[0.25, 0.75, 0.0, 0.0]])
    targets = objective.soft_targets(mixed, classes=4, label_smoothing=0.2)
    np.testing.assert_allclose(targets, [[0.25, 0.65, 0.05, 0.05]], rtol=1e-6)


def test_targets_above_the_threshold_become_one():
    found = objective.apply_threshold(tf.constant([[0.2, 0.21, 0.59]]), 0.2)
    np.testing.assert_array_equal(found, [[0.0, 1.0, 1.0]])
    assert objective.apply_threshold(tf.constant(0.3), None) == 0.3


def test_the_softmax_loss_is_the_cross_entropy():
    logits = LOGITS.astype(np.float64)
    logarithms = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = -(TARGETS * logarithms).sum(axis=1)
    found = objective.LOSSES["softmax"](tf.constant(TARGETS), tf.constant(LOGITS))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_sigmoid_loss_is_the_mean_of_every_class_alone():
    logits = LOGITS.astype(np.float64)
    # log(1 + exp(x)) - t x, which is -t log(sigmoid) - (1 - t) log(1 - sigmoid).
    expected = (np.logaddexp(0, logits) - TARGETS * logits).mean(axis=1)
    found = objective.LOSSES["sigmoid"](tf.constant(TARGETS), tf.constant(LOGITS))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_sigmoid_losses_slope_is_written_down():
    logits = tf.constant(LOGITS)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = objective.sigmoid_loss(tf.constant(TARGETS), logits)
    # (sigmoid - target) / classes, which stays finite far out.
    expected = (1 / (1 + np.exp(-LOGITS.astype(np.float64))) - TARGETS) / 3
    np.testing.assert_allclose(tape.gradient(losses, logits), expected, atol=1e-7)


def test_the_focal_loss_is_keras_own():
    # float32's own rounding; Keras clips probabilities at 1e-7, so no logits far out.
    logits = tf.constant([[2.0, -1.0, 0.0], [0.5, 4.0, -5.0]])
    expected = keras.losses.binary_focal_crossentropy(
        TARGETS, logits, apply_class_balancing=True, from_logits=True
    )
    found = objective.LOSSES["focal"](tf.constant(TARGETS), logits)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_asymmetric_loss_is_its_papers():
    logits = LOGITS.astype(np.float64)
    share = 1 / (1 + np.exp(-logits))
    shifted = np.maximum(share - 0.05, 0)
    negative = (1 - TARGETS) * shifted**4 * np.log(1 - shifted)
    expected = -(TARGETS * -np.logaddexp(0, -logits) + negative).mean(axis=1)
    found = objective.LOSSES["asymmetric"](tf.constant(TARGETS), tf.constant(LOGITS))
    # float32 loses digits in 1 - shifted, where a probability is near 1.
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["focal", "asymmetric"])
def test_the_losses_of_labels_have_finite_slopes_far_out(name):
    logits = tf.constant([[80.0, -80.0, 80.0, -80.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = objective.LOSSES[name](tf.constant([[1.0, 0.0, 0.0, 1.0]]), logits)
    assert np.isfinite(tape.gradient(loss, logits)).all()


@pytest.mark.parametrize("name", objective.LOSSES)
def test_no_loss_mixes_images(name):
    loss = objective.LOSSES[name]
    alone = loss(tf.constant(TARGETS[:1]), tf.constant(LOGITS[:1]))
    both = loss(tf.constant(TARGETS), tf.constant(LOGITS))
    np.testing.assert_array_equal(alone, both[:1])


def test_recipes_name_the_losses_that_there_are():
    assert tuple(objective.LOSSES) == recipe_targets.LOSSES


def test_recipes_name_the_tasks_that_there_are():
    assert tuple(TASKS) == limits.KINDS
    assert all(task.name == name for name, task in TASKS.items())
