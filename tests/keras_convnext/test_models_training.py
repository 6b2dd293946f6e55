"""Models while they train: precision, compilation, rematerialization, strategies."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from keras_convnext.models import build, layers_by_name
from tests.checks import raise_gains, random_images, run_python, tiny_variant

MINI = tiny_variant(name="mini")
MINI_V2 = replace(MINI, name="mini_v2", grn=True, layer_scale_init_value=None)
SLOW = pytest.mark.slow
# Each kind of layer there is, for what takes seconds a layer: tracing and compiling.
TWO_STAGES = {"depths": (1, 1), "widths": (8, 16)}


def mini(variant=MINI, **arguments):
    arguments = {"input_shape": (64, 64, 3), "classes": 10, "seed": 0} | arguments
    return raise_gains(build(variant, **arguments))


@pytest.mark.parametrize(
    ("policy", "variant"),
    [
        pytest.param("mixed_bfloat16", MINI, id="bfloat16, v1"),
        pytest.param("mixed_float16", MINI_V2, id="float16, v2", marks=SLOW),
        pytest.param("mixed_bfloat16", MINI_V2, id="bfloat16, v2", marks=SLOW),
        pytest.param("mixed_float16", MINI, id="float16, v1", marks=SLOW),
    ],
)
def test_half_precision_trains_with_stochastic_depth(variant, policy):
    variant = replace(variant, **TWO_STAGES)
    model = mini(variant, dtype=policy, stochastic_depth_rate=0.5)
    assert keras.backend.standardize_dtype(model.output.dtype) == "float32"
    assert {v.dtype for v in model.trainable_variables} == {"float32"}
    optimizer = keras.optimizers.AdamW(1e-3)
    if policy == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
    optimizer.build(model.trainable_variables)  # or Keras traces the step twice
    before = model.get_weights()
    x, y = random_images(8, 64), np.arange(8)
    history = model.fit(x, y, epochs=2, batch_size=4, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    trainable = {id(v) for v in model.trainable_variables}
    assert all(
        (old != new).any()
        for old, new, v in zip(before, model.get_weights(), model.weights, strict=True)
        if id(v) in trainable
    )


def test_half_precision_is_close_to_full_precision():
    full = mini()
    half = mini(dtype="mixed_bfloat16")
    half.set_weights(full.get_weights())
    x = random_images(2, 64)
    # Probabilities near 0.1 with eight bits of mantissa through five blocks.
    np.testing.assert_allclose(half(x), full(x), atol=0.02)


@pytest.mark.slow
def test_jit_compile_works_for_training():
    variant = replace(MINI_V2, **TWO_STAGES)
    model = mini(variant, stochastic_depth_rate=0.3, input_shape=(32, 32, 3))
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=True)
    loss = model.train_on_batch(random_images(), np.array([1, 2]))
    assert np.isfinite(loss)


@pytest.mark.parametrize("variant", [MINI, MINI_V2], ids=["v1", "v2"])
def test_rematerialized_model_has_the_outputs_and_gradients_of_the_plain_one(variant):
    import tensorflow as tf

    plain = mini(variant)
    remat = mini(variant, remat=True)
    by_name = {
        (layer.name, v.name): v
        for layer in layers_by_name(plain).values()
        for v in layer.weights
    }
    for name, layer in layers_by_name(remat).items():
        for variable in [] if hasattr(layer, "layers") else layer.weights:
            variable.assign(by_name[name, variable.name])
    x = tf.constant(random_images(2, 64))

    def gradients(model):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(x, training=True) ** 2)
        variables = model.trainable_variables
        found = tape.gradient(loss, [v.value for v in variables])
        names = [tuple(v.path.split("/")[-2:]) for v in variables]
        return dict(zip(names, found, strict=True))

    np.testing.assert_allclose(remat(x), plain(x), rtol=1e-6)
    expected = gradients(plain)
    for name, gradient in gradients(remat).items():
        # The same operations in the same order, fused differently.
        np.testing.assert_allclose(
            gradient, expected[name], rtol=1e-3, atol=1e-5, err_msg=str(name)
        )


@pytest.mark.slow
def test_fit_works_under_a_mirrored_strategy_and_replicas_drop_different_rows():
    printed = run_python(
        """
        import json, numpy as np, tensorflow as tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
        import keras
        from dataclasses import replace
        from keras_convnext.layers import StochasticDepth
        from keras_convnext.models import build
        from keras_convnext.variants import VARIANTS
        mini = replace(
            VARIANTS["convnext_atto"], depths=(1, 1), widths=(8, 16)
        )
        strategy = tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"])
        with strategy.scope():
            model = build(mini, classes=3, input_shape=(32, 32, 3),
                          stochastic_depth_rate=0.5)
            model.compile("adamw", "sparse_categorical_crossentropy",
                          jit_compile=False)
            model.optimizer.build(model.trainable_variables)
            layer = StochasticDepth(0.5, seed=1)
        x = np.random.uniform(0, 255, (8, 32, 32, 3)).astype("float32")
        history = model.fit(x, np.arange(8) % 3, batch_size=8, epochs=2, verbose=0)
        run = tf.function(
            lambda: strategy.run(lambda: layer(tf.ones((64, 1)), training=True))
        )
        rows = [np.asarray(v).ravel().tolist()
                for v in strategy.experimental_local_results(run())]
        print(json.dumps({"loss": history.history["loss"], "rows": rows}))
        """
    )
    assert np.isfinite(printed["loss"]).all()
    first, second = printed["rows"]
    assert set(first) == set(second) == {0.0, 2.0}
    # Equal with probability 2**-64 if they are independent.
    assert first != second
