"""The library core under Keras' other backends, each in a process of its own."""

import importlib.util

import numpy as np
import pytest

from tests.checks import run_python

pytestmark = pytest.mark.slow

FORWARD_AND_STEP = """
import json
from dataclasses import replace
import keras, numpy as np
from keras_convnext import create
from keras_convnext.models import build
from keras_convnext.variants import VARIANTS

name, blocks, tiny_input = {name!r}, {blocks!r}, {side!r}
variant = VARIANTS[name]
if blocks:
    variant = replace(variant, depths=(1, 1, 1, 1), widths=(8, 16, 24, 32))
model = build(variant, input_shape=(tiny_input, tiny_input, 3), classes=4,
              stochastic_depth_rate=0.2)
random = np.random.default_rng(0)
for v in model.trainable_variables:
    v.assign(random.normal(size=v.shape) * 0.1 + ("gamma" in v.path))
x = random.uniform(0, 255, (2, tiny_input, tiny_input, 3)).astype("float32")
outputs = keras.ops.convert_to_numpy(model(x)).tolist()
model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy",
              jit_compile=False)
before = [keras.ops.convert_to_numpy(v).copy() for v in model.trainable_variables]
loss = float(model.train_on_batch(x, np.array([1, 3])))
moved = sum(bool((keras.ops.convert_to_numpy(v) != b).any())
            for v, b in zip(model.trainable_variables, before))
print(json.dumps(dict(backend=keras.backend.backend(), outputs=outputs, loss=loss,
                      moved=moved, variables=len(before))))
"""


def run(backend, name, blocks=True, side=32):
    code = FORWARD_AND_STEP.format(name=name, blocks=blocks, side=side)
    return run_python(code, KERAS_BACKEND=backend)


def needs(backend):
    missing = importlib.util.find_spec(backend) is None
    return pytest.mark.skipif(missing, reason=f"{backend} is not installed")


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param("jax", marks=needs("jax")),
        pytest.param("torch", marks=needs("torch")),
    ],
)
@pytest.mark.parametrize("name", ["convnext_atto", "convnextv2_atto"])
def test_forward_and_gradient_step_agree_with_tensorflow(backend, name):
    expected = run("tensorflow", name)
    got = run(backend, name)
    assert got["backend"] == backend
    # Four blocks in float32 by other kernels.
    np.testing.assert_allclose(got["outputs"], expected["outputs"], atol=1e-5)
    assert np.isfinite(got["loss"])
    # Stochastic depth may drop a branch for both images: then it stands still.
    assert got["moved"] >= got["variables"] // 2


@needs("jax")
def test_tiny_runs_forward_and_one_training_step_on_jax():
    got = run("jax", "convnext_tiny", blocks=False, side=64)
    assert got["backend"] == "jax"
    assert np.isfinite(got["outputs"]).all()
    assert np.isfinite(got["loss"])
    assert got["moved"] > 0


FIT = """
import json
from dataclasses import replace
import keras, numpy as np
from keras_convnext.models import build
from keras_convnext.optimizers import LayerwiseAdamW, WarmupCosine, parameter_groups
from keras_convnext.variants import VARIANTS

variant = replace(VARIANTS["convnext_atto"], depths=(1, 1, 1, 1),
                  widths=(16, 24, 32, 48), layer_scale_init_value=0.1)
model = build(variant, input_shape=(32, 32, 3), classes=3, patch_size=2, seed=0,
              stochastic_depth_rate=0.1)
random = np.random.default_rng(0)
labels = np.arange(96) % 3
images = random.uniform(0, 120, (96, 32, 32, 3)).astype("float32")
for image, label in zip(images, labels):
    image[:, 3 + 10 * label : 7 + 10 * label] += 130
groups = parameter_groups(model, layer_decay=0.9)
schedule = WarmupCosine(3e-3, total_steps=48, warmup_steps=6)
model.compile(LayerwiseAdamW(schedule, groups=groups),
              "sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(images[:72], labels[:72], batch_size=12, epochs=8, verbose=0,
                    validation_data=(images[72:], labels[72:])).history
model.save("trained.keras")
again = keras.saving.load_model("trained.keras")
same = np.abs(again.predict(images, verbose=0) - model.predict(images, verbose=0))
print(json.dumps(dict(backend=keras.backend.backend(), history=history,
                      difference=float(same.max()))))
"""


@needs("jax")
def test_fit_learns_on_jax_with_layer_wise_rates_and_reloads(tmp_path):
    told = run_python(FIT, folder=tmp_path, KERAS_BACKEND="jax")
    assert told["backend"] == "jax"
    assert told["history"]["val_accuracy"][-1] > 0.8
    # Compiled for two sizes of batch.
    assert told["difference"] < 1e-5
