"""One training step: targets, clipping, the moving average, several devices."""

import dataclasses
import math
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_convnext.optimizers import LayerwiseAdamW
from training.engine import step
from training.engine.loss_scale import LossScale
from training.engine.step import StepSettings
from training.engine.step_loop import make_step_loop
from training.engine.train_state import TrainState
from training.recipes import resolve
from training.tasks import CLASSIFICATION

LOSSES = CLASSIFICATION.make_losses(resolve("demo", ["label_smoothing=0"]), None)
ROOT = Path(__file__).resolve().parents[3]


def test_clipping_keeps_the_direction_of_all_gradients_together():
    gradients = [tf.constant([3.0, 0.0]), tf.constant([[4.0]])]
    clipped, norm = step.clip_by_global_norm(gradients, 1.0)
    assert float(norm) == pytest.approx(5.0)
    np.testing.assert_allclose(clipped[0], [0.6, 0.0], rtol=1e-6)
    np.testing.assert_allclose(clipped[1], [[0.8]], rtol=1e-6)


@pytest.mark.parametrize("limit", [None, 6.0])
def test_gradients_within_the_limit_stay_as_they_are(limit):
    clipped, norm = step.clip_by_global_norm([tf.constant([3.0, 4.0])], limit)
    assert float(norm) == pytest.approx(5.0)
    np.testing.assert_array_equal(clipped[0], [3.0, 4.0])


def linear_train_state(strategy, ema_decay):
    """A model whose gradient can be written down: logits = flattened image @ W."""
    with strategy.scope():
        inputs = keras.Input((1, 2, 3))
        flat = keras.layers.Flatten()(inputs)
        model = keras.Model(
            inputs, keras.layers.Dense(2, use_bias=False, name="head")(flat)
        )
        optimizer = LayerwiseAdamW(0.01, weight_decay=0.0)
        optimizer.build(model.trainable_variables)
        averaged = None
        if ema_decay is not None:
            averaged = keras.models.clone_model(model)
            averaged.set_weights(model.get_weights())
    return TrainState(model, optimizer, averaged)


def test_the_step_reports_the_batchs_loss_hits_and_gradient_norm(one_device):
    train_state = linear_train_state(one_device, ema_decay=None)
    weights = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    train_state.model.set_weights([weights])
    images = np.random.default_rng(1).integers(0, 5, (4, 1, 2, 3)).astype(np.uint8)
    labels = np.array([0, 1, 1, 0], np.int32)

    train_step = step.make_train_step(train_state, LOSSES, StepSettings(4), one_device)
    result = train_step(tf.constant(images), tf.constant(labels))

    flat = images.reshape(4, 6).astype(np.float64)
    logits = flat @ weights
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    loss = -np.log(probabilities[np.arange(4), labels]).mean()
    gradient = flat.T @ (probabilities - np.eye(2)[labels]) / 4
    # float32 sums of a few numbers of about 10.
    assert float(result["loss"]) == pytest.approx(loss, rel=1e-5)
    assert float(result["gradient_norm"]) == pytest.approx(
        np.linalg.norm(gradient), rel=1e-5
    )
    assert float(result["accuracy"]) == (logits.argmax(axis=1) == labels).sum()
    # Adam's first step is the rate times the gradient's sign.
    moved = train_state.model.get_weights()[0] - weights
    np.testing.assert_allclose(moved, -0.01 * np.sign(gradient), atol=1e-5)
    assert int(train_state.optimizer.iterations.numpy()) == 1


def test_the_average_follows_the_weights_after_every_step(one_device):
    train_state = linear_train_state(one_device, ema_decay=0.75)
    expected = train_state.model.get_weights()[0]
    settings = StepSettings(2, ema_decay=0.75)
    train_step = step.make_train_step(train_state, LOSSES, settings, one_device)
    images = tf.constant(np.arange(12).reshape(2, 1, 2, 3), tf.uint8)
    for _ in range(3):
        train_step(images, tf.constant([0, 1]))
        expected = 0.75 * expected + 0.25 * train_state.model.get_weights()[0]
    # Three float32 updates of numbers below 1.
    np.testing.assert_allclose(
        train_state.eval_model.get_weights()[0], expected, atol=1e-6
    )
    assert train_state.eval_model is train_state.averaged


def test_a_gradient_beyond_float16_changes_nothing_but_the_scale(one_device):
    train_state = linear_train_state(one_device, ema_decay=0.5)
    with one_device.scope():
        scale = LossScale(first=8.0, steps_to_grow=2)
    train_state = dataclasses.replace(train_state, loss_scale=scale)
    train_step = step.make_train_step(
        train_state, LOSSES, StepSettings(2, ema_decay=0.5), one_device
    )
    plain = linear_train_state(one_device, ema_decay=0.5)
    plain.model.set_weights(train_state.model.get_weights())
    plain.averaged.set_weights(train_state.model.get_weights())
    plain_step = step.make_train_step(
        plain, LOSSES, StepSettings(2, ema_decay=0.5), one_device
    )
    images = tf.constant(np.arange(12).reshape(2, 1, 2, 3), tf.float32)
    labels = tf.constant([0, 1])

    def state():
        return [*train_state.model.get_weights(), *train_state.averaged.get_weights()]

    before = state()
    result = train_step(images * math.inf, labels)
    assert not math.isfinite(float(result["gradient_norm"]))
    for one, other in zip(state(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert train_state.optimizer.iterations.numpy() == 0
    assert scale.factor.numpy() == 4.0

    for _ in range(2):
        train_step(images, labels)
        plain_step(images, labels)
    # Two good steps in a row double it.
    assert scale.factor.numpy() == 8.0
    assert train_state.optimizer.iterations.numpy() == 2
    expected = [*plain.model.get_weights(), *plain.averaged.get_weights()]
    for one, other in zip(state(), expected, strict=True):
        # A factor of 2**n costs no digit: to the bit.
        np.testing.assert_array_equal(one, other)


def test_parts_of_a_batch_add_up_to_the_batch():
    calls = []

    def function(images, targets):
        calls.append(images.shape[0])
        return [tf.reduce_sum(images), tf.linalg.matmul(targets, images, True)]

    images = tf.constant(np.random.default_rng(0).normal(size=(6, 4)), tf.float32)
    targets = tf.constant(np.random.default_rng(1).normal(size=(6, 2)), tf.float32)
    whole = function(images, targets)
    parts = step.sum_over_parts(function, images, targets, parts=3)
    assert set(calls[1:]) == {2}
    for one, other in zip(whole, parts, strict=True):
        # Float32 sums of six numbers of about 1, in another order.
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_batches_of_several_sizes_are_taken_in_parts(one_device):
    """As those of detection, whose images differ in size or number of objects."""

    def losses(outputs, truth):
        return LOSSES(outputs, truth["labels"])

    train_state = linear_train_state(one_device, ema_decay=None)
    train_state.model.set_weights([np.zeros((6, 2), np.float32)])
    settings = StepSettings(4, accumulation_steps=2)
    train_step = step.make_train_step(train_state, losses, settings, one_device)
    images = tf.TensorSpec((4, 1, 2, 3), tf.uint8)
    truth = {"labels": tf.TensorSpec((4,), tf.int32), "masks": tf.TensorSpec((4, None))}
    data = tf.data.Dataset.from_generator(
        lambda: ((np.ones(images.shape), {"labels": [0] * 4, "masks": [[0]] * 4}),),
        output_signature=(images, truth),
    )
    batches = iter(one_device.experimental_distribute_dataset(data))
    results = make_step_loop(train_step, one_device)(batches, tf.constant(1))
    # Two classes, equally likely; float32.
    np.testing.assert_allclose(results["loss"], [math.log(2)], rtol=1e-6)


# Run once per number of devices: logical processors cannot be made later.
TRAIN = """
import sys
from keras_convnext import _cli
_cli.import_tensorflow()
import numpy as np
import tensorflow as tf
import keras_convnext
from keras_convnext import optimizers
from training.engine import distribution, step, train_state
from training.recipes import resolve
from training.tasks import CLASSIFICATION
devices, parts, steps, out = *map(int, sys.argv[1:4]), sys.argv[4]
strategy = distribution.make_strategy(distribution.parse(f"cpu:{devices}"))
assert strategy.num_replicas_in_sync == devices
with strategy.scope():
    models = [
        keras_convnext.create(
            "test_convnext2", input_shape=(16, 16, 3), patch_size=2, classes=3, seed=1,
            classifier_activation=None, layer_scale_init_value=0.5,
        )
        for _ in range(2)
    ]
    optimizer = optimizers.LayerwiseAdamW(
        optimizers.WarmupCosine(1e-3, 20, 5), weight_decay=0.05,
        groups=optimizers.parameter_groups(models[0], layer_decay=0.7),
    )
    optimizer.build(models[0].trainable_variables)
settings = step.StepSettings(
    8, clip_norm=0.5, ema_decay=0.9, accumulation_steps=parts
)
train_step = step.make_train_step(
    train_state.TrainState(models[0], optimizer, models[1]),
    CLASSIFICATION.make_losses(resolve("demo"), None),
    settings,
    strategy,
)
rng = np.random.default_rng(0)
images = rng.integers(0, 256, (8 * steps, 16, 16, 3)).astype(np.uint8)
labels = rng.integers(0, 3, 8 * steps).astype(np.int32)
batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(8)
losses, norms = [], []
for batch in strategy.experimental_distribute_dataset(batches):
    result = train_step(*batch)
    losses.append(float(result["loss"]))
    norms.append(float(result["gradient_norm"]))
arrays = [array for model in models for array in model.get_weights()]
np.savez(out, *arrays, losses=losses, norms=norms)
"""


def trained(folder, devices, parts, steps):
    """What a fresh process with so many devices makes of the same batches."""
    out = folder / f"{devices}x{parts}.npz"
    arguments = [str(number) for number in (devices, parts, steps)]
    command = [sys.executable, "-c", TRAIN, *arguments, str(out)]
    subprocess.run(command, check=True, cwd=ROOT)
    return np.load(out)


def assert_alike(one, other):
    # The limit is reached, so that clipping before the sum would show.
    assert (one["norms"] > 0.5).all()
    np.testing.assert_allclose(one["losses"], other["losses"], atol=1e-6)
    np.testing.assert_allclose(one["norms"], other["norms"], rtol=1e-5)
    for name in one.files:
        if name.startswith("arr_"):
            # Sums over the batch are taken in another order.
            np.testing.assert_allclose(one[name], other[name], atol=1e-6, err_msg=name)


@pytest.mark.slow  # a minute
def test_two_devices_in_two_parts_each_do_what_one_does(tmp_path):
    assert_alike(trained(tmp_path, 1, 1, steps=6), trained(tmp_path, 2, 2, steps=6))


@pytest.mark.slow
def test_two_and_four_devices_do_what_one_does_for_20_steps(tmp_path):
    one = trained(tmp_path, 1, 1, steps=20)
    for devices in (2, 4):
        assert_alike(one, trained(tmp_path, devices, 1, steps=20))
