"""UPerNet under Keras' other backends, each in a process of its own."""

import importlib.util

import numpy as np
import pytest

from tests.checks import run_python

pytestmark = pytest.mark.slow

# 40x56 pixels: no size of the pooling's maps divides the deepest level's.
EVERYTHING = """
import json
import keras, numpy as np
import keras_convnext
from keras_convnext.segmentation import predict_label_map

model = keras_convnext.UPerNet(
    "convnext_atto", 3, head_channels=16, input_shape=(None, None, 3))
random = np.random.default_rng(0)
training = keras.Model(model.input, [model.output, model.auxiliary])
for v in sorted(training.weights, key=lambda v: v.path):
    if len(v.shape) > 1:
        v.assign(random.normal(size=v.shape) * (1 / np.prod(v.shape[:-1])) ** 0.5)
    elif "seed" not in v.path:
        v.assign(random.uniform(0.5, 1.0, v.shape))
images = random.uniform(0, 255, (2, 40, 56, 3)).astype("float32")
run = lambda model: keras.ops.convert_to_numpy(model(images, training=False))
outputs = run(model)
folded = run(keras_convnext.fold(model))
model.save({file!r})
loaded = run(keras.models.load_model({file!r}))
label_map = predict_label_map(model, images[0].astype("uint8"), 40)
masks = (images[..., 0] > 127).astype("uint8")
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
training.compile(keras.optimizers.SGD(1e-3), loss=[loss, loss],
                 loss_weights=[1.0, 0.4], jit_compile=False)
before = [keras.ops.convert_to_numpy(v).copy() for v in training.trainable_variables]
training.train_on_batch(images, [masks, masks])
moved = [bool((keras.ops.convert_to_numpy(v) != b).any())
         for v, b in zip(training.trainable_variables, before)]
print(json.dumps(dict(
    backend=keras.backend.backend(), outputs=outputs.tolist(),
    folded=float(np.abs(folded - outputs).max()),
    loaded=float(np.abs(loaded - outputs).max()),
    label_map=np.asarray(label_map).tolist(), moved=sum(moved), of=len(moved))))
"""


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    file = str(tmp_path_factory.mktemp("tensorflow") / "model.keras")
    return run_python(EVERYTHING.format(file=file), KERAS_BACKEND="tensorflow")


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_everything_agrees_with_tensorflow(backend, expected, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    code = EVERYTHING.format(file=str(tmp_path / "model.keras"))
    got = run_python(code, KERAS_BACKEND=backend)
    assert got["backend"] == backend
    np.testing.assert_allclose(got["outputs"], expected["outputs"], atol=1e-5)
    assert max(got["folded"], got["loaded"]) <= 1e-5
    np.testing.assert_array_equal(got["label_map"], expected["label_map"])
    # Stochastic depth may drop a branch for both images: then it stands still.
    assert got["moved"] >= got["of"] // 2
