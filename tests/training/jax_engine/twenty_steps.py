"""Trains twenty steps under the Keras backend of the environment: a program of tests.

Its arguments: a .npz to write weights and losses to, stochastic depth, and how many of
the devices of JAX to use.
"""

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np

from training.data.loading import from_arrays
from training.engine import trainer
from training.engine.run import begin
from training.recipes.augmentation import Augmentation
from training.recipes.table import resolve
from training.tasks import find_task
from training.workdir.layout import Workdir

STEPS = 20


def recipe(stochastic_depth_rate):
    return replace(
        resolve("scratch_small"),
        variant="test_convnext2",
        size_px=16,
        patch_size=2,
        global_batch=8,
        epochs=4,
        warmup_epochs=1,
        frozen_epochs=1,
        accumulation_steps=2,
        layer_decay=0.8,
        layer_scale_init_value=0.5,
        stochastic_depth_rate=stochastic_depth_rate,
        ema_decay=0.9,
        clip_norm=0.5,
        steps_per_call=3,
        augmentation=Augmentation(flip=True, crop_scale=(0.5, 1.0), mixup=0.8),
    )


def source():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (53, 20, 20, 3)).astype(np.uint8)
    labels = random.integers(0, 3, 53)
    return from_arrays(
        images[:43], labels[:43], images[43:], labels[43:], ("a", "b", "c"), size_px=16
    )


def open_backend(devices):
    if keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_num_cpu_devices", 4)
        from jax.sharding import Mesh

        from training.jax_engine.backend import JaxBackend
        from training.jax_engine.devices import Spread

        return JaxBackend(Spread(Mesh(np.array(jax.devices()[:devices]), ("batch",))))
    import tensorflow as tf

    from training.engine.tensorflow_backend import TensorFlowBackend

    return TensorFlowBackend(tf.distribute.MirroredStrategy(["/cpu:0"]))


class Losses(keras.callbacks.Callback):
    """Notes the mean loss of the epoch after each step, and that of evaluation."""

    def __init__(self):
        super().__init__()
        self.found = []

    def on_train_batch_end(self, batch, logs=None):
        self.found.append(logs["loss"])

    def on_epoch_end(self, epoch, logs=None):
        self.found.append(logs["val_loss"])


def main(file, stochastic_depth_rate, devices):
    chosen = recipe(stochastic_depth_rate)
    with TemporaryDirectory() as folder:
        workdir = Workdir(Path(folder))
        run = begin(chosen, find_task(chosen), source(), workdir, open_backend(devices))
        random = np.random.default_rng(1)
        for variable in run.train_state.model.trainable_variables:
            # Backends draw other initial weights from the same seed.
            scale = 0.1 if len(variable.shape) == 1 else 0.2
            values = scale * random.normal(size=variable.shape)
            variable.assign(values + (variable.numpy() if scale == 0.1 else 0))
        run.train_state.averaged.set_weights(run.train_state.model.get_weights())
        losses = Losses()
        trainer.train(run, [losses])
    assert run.progress.step == STEPS
    models = {"model": run.train_state.model, "average": run.train_state.averaged}
    np.savez(
        file,
        losses=losses.found,
        **{
            f"{kind}/{variable.path}": variable.numpy()
            for kind, model in models.items()
            for variable in model.weights
        },
    )


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
