"""Layers that know of the other replicas: Dropout draws apart, batch norm together."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_convnext.layers import BatchNormalization, Dropout

ROOT = Path(__file__).resolve().parents[3]
# In a process of its own: logical processors cannot be made later.
PROGRAM = """
import sys
from keras_convnext import _cli
_cli.import_tensorflow()
import keras
import numpy as np
import tensorflow as tf
from keras_convnext import optimizers
from keras_convnext.layers import BatchNormalization, Dropout
from training.engine import distribution, step, train_state
from training.recipes import resolve
from training.tasks import CLASSIFICATION
losses = CLASSIFICATION.make_losses(resolve("demo", ["label_smoothing=0"]), None)
two = distribution.make_strategy(distribution.parse("cpu:2"))
made = {}
with two.scope():
    drops = Dropout(0.5, seed=1)
    masks = tf.function(lambda: two.run(lambda: drops(tf.ones((8, 64)), training=True)))
made["masks"] = np.array(
    [[part.numpy() for part in two.experimental_local_results(masks())] for _ in "123"]
)
rng = np.random.default_rng(0)
images = rng.normal(size=(48, 6, 6, 3)).astype(np.float32)
# Every image has a level and a contrast of its own, so that halves of a batch differ.
images = images * rng.uniform(0.2, 3, (48, 1, 1, 1)) + rng.normal(size=(48, 1, 1, 1))
labels = rng.integers(0, 3, 48).astype(np.int32)
for name, strategy, parts in (
    ("one", tf.distribute.MirroredStrategy(["/cpu:0"]), 1),
    ("two", two, 1),
    ("parts", two, 3),
):
    with strategy.scope():
        x = inputs = keras.Input((6, 6, 3))
        # Without a bias: batch norm makes its gradient nothing but rounding.
        drawn = [keras.initializers.GlorotNormal(seed) for seed in (2, 3)]
        x = keras.layers.Conv2D(8, 3, use_bias=False, kernel_initializer=drawn[0])(x)
        x = BatchNormalization(momentum=0.9)(x)
        x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
        dense = keras.layers.Dense(3, kernel_initializer=drawn[1])
        model = keras.Model(inputs, dense(x))
        optimizer = optimizers.LayerwiseAdamW(0.01, weight_decay=0.0)
        optimizer.build(model.trainable_variables)
    settings = step.StepSettings(12, accumulation_steps=parts)
    train_step = step.make_train_step(
        train_state.TrainState(model, optimizer), losses, settings, strategy
    )
    batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(12)
    results = [
        train_step(*batch)
        for batch in strategy.experimental_distribute_dataset(batches)
    ]
    made[f"{name}_losses"] = [float(result["loss"]) for result in results]
    for number, array in enumerate(model.get_weights()):
        made[f"{name}_{number}"] = array
np.savez(sys.argv[1], **made)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("replicas") / "made.npz"
    subprocess.run([sys.executable, "-c", PROGRAM, str(out)], check=True, cwd=ROOT)
    with np.load(out) as arrays:
        return dict(arrays)


@pytest.mark.slow
def test_replicas_drop_different_entries(made):
    calls = made["masks"]
    assert calls.shape == (3, 2, 8, 64)
    assert set(np.unique(calls)) == {0.0, 2.0}
    masks = calls.reshape(6, -1) > 0
    for one in range(6):
        for other in range(one):
            # Of 512 entries half agree by chance; 100 more are nine deviations away.
            assert abs((masks[one] == masks[other]).sum() - 256) < 100


def test_batch_norm_sees_the_whole_batch_of_two_replicas(made):
    """Statistics, losses and gradients are those of one device with the same batch."""
    # The variance is one of squares there: a few units of float32's last place, which
    # four steps of AdamW, blind to a gradient's size, make into 1e-4 of a step of 0.01.
    np.testing.assert_allclose(made["two_losses"], made["one_losses"], atol=1e-5)
    for number in range(7):
        np.testing.assert_allclose(
            made[f"two_{number}"], made[f"one_{number}"], atol=1e-4
        )


def test_batch_norm_goes_with_parts_of_a_batch_on_two_replicas(made):
    """Statistics are those of a part then, so the losses are near and not the same."""
    np.testing.assert_allclose(made["parts_losses"], made["one_losses"], rtol=0.3)
    assert not np.array_equal(made["parts_losses"], made["two_losses"])


def test_without_replicas_both_are_keras_own():
    x = np.random.default_rng(0).normal(size=(4, 6, 6, 8)).astype(np.float32)
    pairs = (
        (Dropout(0.4, seed=3), keras.layers.Dropout(0.4, seed=3)),
        (
            Dropout(0.4, noise_shape=(None, 1, 1, 8), seed=3),
            keras.layers.Dropout(0.4, noise_shape=(None, 1, 1, 8), seed=3),
        ),
        (BatchNormalization(), keras.layers.BatchNormalization()),
    )
    for ours, theirs in pairs:
        for training in (True, True, False):
            np.testing.assert_array_equal(
                ours(tf.constant(x), training=training),
                theirs(tf.constant(x), training=training),
            )


def test_a_saved_batch_norm_is_not_tied_to_tensorflow():
    """Other backends refuse a layer that was saved as synchronized."""
    layer = BatchNormalization()
    layer.synchronized = True
    assert layer.get_config()["synchronized"] is False
