"""Decay by layer kind, the AdamW update and the schedule."""

import keras
import numpy as np
import pytest

import keras_convnext
from keras_convnext import optimizers
from keras_convnext.optimizers import (
    LayerwiseAdamW,
    ParameterGroup,
    WarmupCosine,
    WarmupLinear,
    WarmupStep,
)
from keras_convnext.optimizers import _adam_kernel as adam_kernel


def decayed(model):
    groups = optimizers.parameter_groups(model)
    assert set(groups) == {variable.path for variable in model.trainable_variables}
    return {path for path, group in groups.items() if group.decays}


@pytest.mark.parametrize("name", ["test_convnext", "convnextv2_atto"])
def test_only_kernels_of_convolutions_and_dense_layers_decay(name):
    model = keras_convnext.create(name, input_shape=(32, 32, 3), classes=3)

    kernels = {
        variable.path
        for layer in model.layers
        if isinstance(
            layer,
            keras.layers.Conv2D | keras.layers.DepthwiseConv2D | keras.layers.Dense,
        )
        for variable in layer.trainable_variables
        if len(variable.shape) > 1
    }
    assert decayed(model) == kernels
    assert kernels


def test_decay_is_decided_inside_nested_and_rematerialized_layers():
    plain = keras_convnext.create("convnextv2_atto", input_shape=(32, 32, 3), classes=3)
    remat = keras_convnext.create(
        "convnextv2_atto", input_shape=(32, 32, 3), classes=3, remat=True
    )
    nested = keras.Sequential([keras.Input((32, 32, 3)), remat])

    assert len(decayed(nested)) == len(decayed(plain))
    assert not [path for path in decayed(nested) if not path.endswith("kernel")]


def test_a_norm_with_a_matrix_of_factors_does_not_decay():
    inputs = keras.Input((4, 5))
    normed = keras.layers.LayerNormalization(axis=(1, 2))(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(normed))
    dense = model.layers[-1]

    # Its gamma has the shape (4, 5): by rank alone it would decay.
    assert decayed(model) == {dense.kernel.path}


def adamw_by_hand(value, gradients, *, lr, decay, beta_1, beta_2, epsilon):
    """Algorithm 2 of arXiv:1711.05101 in float64."""
    value = np.float64(value)
    first = second = np.zeros_like(value)
    for step, gradient in enumerate(np.float64(gradients), start=1):
        value = value - lr * decay * value
        first = beta_1 * first + (1 - beta_1) * gradient
        second = beta_2 * second + (1 - beta_2) * gradient**2
        corrected = second / (1 - beta_2**step)
        value = value - lr * first / (1 - beta_1**step) / (np.sqrt(corrected) + epsilon)
    return value


def test_the_update_is_adamw_with_each_parameters_own_rate_and_decay():
    rng = np.random.default_rng(0)
    start = rng.normal(size=(3, 4)).astype(np.float32)
    gradients = rng.normal(size=(6, 3, 4)).astype(np.float32)
    groups = {
        "full": ParameterGroup(),
        "slow": ParameterGroup(lr_scale=0.25),
        "undecayed": ParameterGroup(decays=False),
    }
    variables = [keras.Variable(start, name=name) for name in groups]
    settings = {"beta_1": 0.9, "beta_2": 0.95, "epsilon": 1e-3}
    optimizer = LayerwiseAdamW(0.1, weight_decay=0.3, groups=groups, **settings)
    optimizer.build(variables)
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)] * 3)

    for variable, group in zip(variables, groups.values(), strict=True):
        expected = adamw_by_hand(
            start,
            gradients,
            lr=0.1 * group.lr_scale,
            decay=0.3 if group.decays else 0.0,
            **settings,
        )
        actual = keras.ops.convert_to_numpy(variable)
        # Six updates in float32, each rounding values of about 1.
        np.testing.assert_allclose(actual, expected, atol=2e-6)


def test_a_parameter_stands_still_until_its_first_step_and_then_starts_afresh():
    rng = np.random.default_rng(0)
    start = rng.normal(size=(3, 4)).astype(np.float32)
    gradients = rng.normal(size=(6, 3, 4)).astype(np.float32)
    variable = keras.Variable(start, name="late")
    optimizer = LayerwiseAdamW(
        0.1, weight_decay=0.3, groups={"late": ParameterGroup(first_step=4)}
    )
    for gradient in gradients[:4]:
        optimizer.apply([gradient], [variable])
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), start)
    for gradient in gradients[4:]:
        optimizer.apply([gradient], [variable])
    expected = adamw_by_hand(
        start, gradients[4:], lr=0.1, decay=0.3, beta_1=0.9, beta_2=0.999, epsilon=1e-8
    )
    # Two updates in float32, each rounding values of about 1.
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(variable), expected, atol=1e-6
    )


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow's kernel"
)
def test_tensorflows_kernel_takes_the_steps_that_are_written_out(monkeypatch):
    rng = np.random.default_rng(0)
    start = rng.normal(size=(5, 7)).astype(np.float32)
    gradients = rng.normal(size=(8, 5, 7)).astype(np.float32)
    groups = {
        "full": ParameterGroup(),
        "slow": ParameterGroup(lr_scale=0.25),
        "undecayed": ParameterGroup(decays=False),
        "late": ParameterGroup(first_step=3),
    }

    def taken():
        variables = [keras.Variable(start, name=name) for name in groups]
        optimizer = LayerwiseAdamW(
            WarmupCosine(0.1, 20, 2), weight_decay=0.3, groups=groups
        )
        optimizer.build(variables)
        steps = []
        for gradient in gradients:
            optimizer.apply([keras.ops.convert_to_tensor(gradient)] * len(groups))
            steps.append([keras.ops.convert_to_numpy(v) for v in variables])
        moments = [keras.ops.convert_to_numpy(v) for v in optimizer.variables[2:]]
        return steps, moments

    called = []
    update = adam_kernel.update
    monkeypatch.setattr(
        adam_kernel, "update", lambda *a, **k: called.append(update(*a, **k))
    )
    kernel, kernel_moments = taken()
    assert len(called) == len(groups) * len(gradients)
    monkeypatch.setattr(adam_kernel, "is_supported", lambda variable: False)
    written, written_moments = taken()
    assert len(called) == len(groups) * len(gradients)
    # float32's resolution at values of about 1, over eight steps.
    np.testing.assert_allclose(kernel, written, atol=2e-6)
    # float32(0.999) decays by a hundred-thousandth less than 0.999.
    np.testing.assert_allclose(kernel_moments, written_moments, rtol=3e-5, atol=1e-7)


def test_a_group_for_an_unknown_variable_is_refused():
    optimizer = LayerwiseAdamW(groups={"kernal": ParameterGroup()})
    with pytest.raises(ValueError, match="not given: kernal"):
        optimizer.build([keras.Variable(np.zeros(3), name="kernel")])


def test_groups_survive_saving_and_loading_a_compiled_model(tmp_path):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2, name="head")(inputs))
    groups = {
        "head/kernel": ParameterGroup(lr_scale=0.5),
        "head/bias": ParameterGroup(decays=False),
    }
    schedule = WarmupCosine(0.01, total_steps=50, warmup_steps=5)
    model.compile(LayerwiseAdamW(schedule, weight_decay=0.2, groups=groups), "mse")
    x, y = np.ones((8, 4), np.float32), np.zeros((8, 2), np.float32)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")

    assert again.optimizer.groups == groups
    assert again.optimizer.get_config() == model.optimizer.get_config()
    model.fit(x, y, verbose=0)
    again.fit(x, y, verbose=0)
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        # The same numbers through the same operations.
        np.testing.assert_array_equal(one, other)


def official_schedule(peak, low, total, warmup):
    """The published code's schedule, written with its own building blocks."""
    rise = np.linspace(0, peak, warmup)
    steps = np.arange(total - warmup)
    return np.concatenate(
        [rise, low + 0.5 * (peak - low) * (1 + np.cos(np.pi * steps / len(steps)))]
    )


@pytest.mark.parametrize(("total", "warmup"), [(300, 20), (30, 0), (7, 1), (40, 39)])
def test_the_schedule_is_the_official_one_at_every_step(total, warmup):
    schedule = WarmupCosine(4e-3, total, warmup, min_lr=1e-6)
    actual = [float(schedule(step)) for step in range(total)]
    # float32 against float64, at a rate of 4e-3.
    np.testing.assert_allclose(
        actual, official_schedule(4e-3, 1e-6, total, warmup), atol=2e-9
    )


def test_segmentations_schedule_is_mmsegmentations_at_every_step():
    # Its LinearLR goes through 1,500 equal factors from 1e-6 to 1; its PolyLR of power
    # 1 is the straight line from there to 0 at step 160,000.
    schedule = WarmupLinear(1e-4, 160_000, 1_500, start_lr=1e-10)
    steps = [0, 1, 700, 1_499, 1_500, 80_750, 159_999, 160_000]
    rise = 1e-4 * np.linspace(1e-6, 1, 1_500)
    line = 1e-4 * (160_000 - np.arange(160_001)) / 158_500
    expected = [rise[step] if step < 1_500 else line[step] for step in steps]
    # float32 against float64, at a rate of 1e-4.
    actual = [float(schedule(step)) for step in steps]
    np.testing.assert_allclose(actual, expected, atol=2e-11)


def test_detections_schedule_falls_after_27_and_33_of_36_epochs():
    # mmdetection's MultiStepLR of 7,329 steps an epoch, beside 1,000 steps of LinearLR.
    schedule = WarmupStep(1e-4, 36 * 7_329, 1_000, start_lr=1e-7)
    rise = 1e-4 * np.linspace(1e-3, 1, 1_000)
    falls = {27 * 7_329: 1e-5, 33 * 7_329: 1e-6}
    steps = [0, 1, 999, 1_000, *(fall + near for fall in falls for near in (-1, 0))]
    expected = [*rise[[0, 1, 999]], 1e-4, 1e-4, 1e-5, 1e-5, 1e-6]
    actual = [float(schedule(step)) for step in steps]
    # float32 against float64.
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_the_schedule_is_held_before_its_rise():
    schedule = WarmupCosine(4e-3, 300, 20, min_lr=1e-6, held_steps=50, held_lr=0.25)
    actual = [float(schedule(step)) for step in range(300)]
    assert actual[:50] == [0.25] * 50
    # float32 against float64, at a rate of 4e-3.
    np.testing.assert_allclose(
        actual[50:], official_schedule(4e-3, 1e-6, 250, 20), atol=2e-9
    )


def test_the_schedule_stays_at_its_end():
    schedule = WarmupCosine(1.0, total_steps=10, min_lr=0.25)
    assert float(schedule(10)) == pytest.approx(0.25)
    assert float(schedule(1000)) == pytest.approx(0.25)


def test_a_warmup_as_long_as_the_run_is_refused():
    with pytest.raises(ValueError, match="warmup_steps=10, total_steps=10"):
        WarmupCosine(1.0, total_steps=10, warmup_steps=10)
