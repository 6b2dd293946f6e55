"""The optimizers of a recipe against Keras' own, which know no groups."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_convnext.optimizers import LayerwiseAdamW, ParameterGroup
from training.engine import optimizers, train_state, trainer
from training.engine.step import update
from training.recipes import limits
from training.recipes.table import resolve
from training.workdir.layout import Workdir, identity

# With the arguments that a recipe gives them: betas of 0.8 and 0.95.
OF_KERAS = {
    "sgd": lambda **given: keras.optimizers.SGD(momentum=0.8, **given),
    "lion": lambda **given: keras.optimizers.Lion(beta_1=0.8, beta_2=0.95, **given),
    "lamb": lambda **given: keras.optimizers.Lamb(beta_1=0.8, beta_2=0.95, **given),
    "adafactor": lambda **given: keras.optimizers.Adafactor(
        relative_step=False, **given
    ),
    "muon": lambda **given: keras.optimizers.Muon(
        adam_beta_1=0.8,
        adam_beta_2=0.95,
        adam_weight_decay=given["weight_decay"],
        exclude_layers=["head"],
        **given,
    ),
}
NAMES = tuple(OF_KERAS)
DECAY = 0.3


def small_model():
    """A convolution, a matrix of each shape, a norm and a head."""
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.layers.Input((4, 4, 2)),
            keras.layers.Conv2D(3, 2, name="conv"),
            keras.layers.Dense(5, name="wide"),
            keras.layers.LayerNormalization(name="norm"),
            keras.layers.Dense(2, name="narrow"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, name="head"),
        ],
        name="small",
    )


def gradients_of(model, step):
    generator = np.random.default_rng(step)
    return [
        tf.constant(generator.normal(size=v.shape), tf.float32)
        for v in model.trainable_variables
    ]


def made(name, model, rate=0.02, decay=DECAY, **group):
    recipe = resolve(
        "demo",
        [f"optimizer={name}", f"weight_decay={decay}", "beta_1=0.8", "beta_2=0.95"],
    )
    groups = {
        v.path: ParameterGroup(decays=len(v.shape) > 1, **group)
        for v in model.trainable_variables
    }
    optimizer = optimizers.make(recipe, rate, groups, lambda path: "head" in path)
    optimizer.build(model.trainable_variables)
    return optimizer


def take_step(model, optimizer, step):
    """Changes the weights as a training step does."""
    state = train_state.TrainState(model, optimizer)
    given = (state, gradients_of(model, step), None, tf.constant(True))
    tf.distribute.get_strategy().run(update, args=given)


def check_same(model, other, rtol=1e-5):
    for one, two in zip(model.weights, other.weights, strict=True):
        np.testing.assert_allclose(one, two, rtol=rtol, atol=1e-7, err_msg=one.path)


def test_recipes_name_the_optimizers_that_there_are():
    assert ("adamw", *optimizers._OF_KERAS) == limits.OPTIMIZERS
    assert tuple(optimizers._OF_KERAS) == NAMES
    for name in limits.OPTIMIZERS:
        made(name, small_model())


def test_adamw_is_the_one_that_it_was():
    groups = {"kernel": ParameterGroup(0.5)}
    recipe = resolve("demo")
    found = optimizers.make(recipe, 0.1, groups, lambda path: False)
    assert type(found) is LayerwiseAdamW
    assert found.get_config()["weight_decay"] == 0.05
    assert found.get_config()["groups"] == {"kernel": [0.5, True, 0]}


@pytest.mark.parametrize("name", NAMES)
def test_steps_are_those_of_keras_with_decay_on_matrices_alone(name):
    model, other = small_model(), small_model()
    optimizer = made(name, model)
    reference = OF_KERAS[name](learning_rate=0.02, weight_decay=DECAY)
    reference.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    reference.build(other.trainable_variables)
    before = [v.numpy() for v in model.trainable_variables]
    for step in range(4):
        take_step(model, optimizer, step)
        reference.apply(gradients_of(other, step), other.trainable_variables)
    assert int(optimizer.iterations) == 4
    assert not any(map(np.array_equal, before, model.trainable_variables))
    check_same(model, other)


@pytest.mark.parametrize("name", NAMES)
def test_layer_wise_rates_scale_updates_and_decay(name):
    model, other = small_model(), small_model()
    optimizer = made(name, model, rate=0.04, lr_scale=0.25)
    reference = made(name, other, rate=0.01)
    for step in range(3):
        take_step(model, optimizer, step)
        take_step(other, reference, step)
    check_same(model, other)


@pytest.mark.parametrize("name", NAMES)
def test_what_stood_still_begins_like_a_new_optimizer(name):
    model, other = small_model(), small_model()
    optimizer = made(name, model, first_step=5)
    optimizer.iterations.assign(5)
    reference = made(name, other)
    for step in range(2):
        take_step(model, optimizer, step)
        take_step(other, reference, step)
    check_same(model, other)


@pytest.mark.parametrize("name", NAMES)
def test_checkpoints_hold_all_that_the_next_step_needs(name):
    model, other = small_model(), small_model()
    optimizer, resumed = made(name, model), made(name, other)
    for step in range(2):
        take_step(model, optimizer, step)
    kept = train_state.TrainState(model, optimizer).variables()
    assert len(kept) == len(model.variables) + len(optimizer.variables)
    fresh = train_state.TrainState(other, resumed).variables()
    assert list(fresh) == list(kept)
    for path, variable in fresh.items():
        variable.assign(kept[path].numpy())
    take_step(model, optimizer, 2)
    take_step(other, resumed, 2)
    for one, two in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(one, two)


def test_lion_brings_its_beta_and_may_be_told_another():
    assert resolve("demo", ["optimizer=lion"]).beta_2 == 0.99
    assert resolve("demo", ["optimizer=lion", "beta_2=0.95"]).beta_2 == 0.95
    assert resolve("demo", ["optimizer=lamb"]).beta_2 == 0.999
    with pytest.raises(ValueError, match="optimizer is 'adam', not one of adamw, sgd"):
        resolve("demo", ["optimizer=adam"])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_was_stopped_ends_as_a_whole_one(
    name, tmp_path, tiny_recipe, tiny_source, one_device
):
    recipe = dataclasses.replace(tiny_recipe, optimizer=name, layer_decay=0.8)

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    def run_in(folder, *callbacks):
        workdir = Workdir(tmp_path / folder)
        workdir.claim(identity(recipe, "bars"))
        run = trainer.prepare(recipe, tiny_source, workdir, one_device)
        trainer.train(run, callbacks)
        return [v.numpy() for v in run.train_state.variables().values()]

    run_in("stopped", Stop())
    for one, two in zip(run_in("stopped"), run_in("whole"), strict=True):
        np.testing.assert_array_equal(one, two)
