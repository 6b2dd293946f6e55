"""Detectors learn under JAX from the same boxes, with the same gradients."""

import importlib.util

import numpy as np
import pytest

from tests.checks import run_python

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("jax") is None, reason="jax is not installed"
    ),
]

LOSSES_AND_GRADIENTS = """
import json
import keras, numpy as np
from keras import ops
from keras_convnext.detection import detection_losses, training_model, training_settings

method = {method!r}
settings = training_settings(method, proposals=20, per_level=30, anchor_samples=32,
                             box_samples=8)
model = training_model(method, "convnext_atto", 2, settings=settings, channels=8,
                       units=8, input_shape=(64, 64, 3), max_objects=3)
random = np.random.default_rng(0)
for v in sorted(model.trainable_variables, key=lambda v: v.path):
    scale = (1 / np.prod(v.shape[:-1])) ** 0.5 if len(v.shape) > 1 else 0.1
    v.assign(random.normal(size=v.shape) * scale + ("gamma" in v.path))
masks = random.integers(0, 2, (2, 3, 64, 64)).astype("uint8")
truth = dict(
    image=random.uniform(0, 255, (2, 64, 64, 3)).astype("float32"),
    size=np.array([[64, 64], [50, 60]], "int32"),
    boxes=np.array([[[4, 6, 40, 50], [0] * 4, [0] * 4],
                    [[1, 2, 30, 20], [10, 10, 48, 58], [0] * 4]], "float32"),
    classes=np.array([[1, -1, -1], [0, 1, -1]], "int32"),
    masks=masks, seed=np.array([[1, 2], [3, 4]], "int32"))

def loss_of(outputs):
    return ops.mean(detection_losses(outputs, settings)["loss"])

drawn = ("rpn_labels", "box0_labels", "box0_numbers")
if keras.backend.backend() == "jax":
    import jax

    def forward(trained, others):
        outputs, _ = model.stateless_call(trained, others, truth, training=True)
        return loss_of(outputs), [outputs[name] for name in drawn]

    (loss, chosen), gradients = jax.jit(jax.value_and_grad(forward, has_aux=True))(
        [v.value for v in model.trainable_variables],
        [v.value for v in model.non_trainable_variables])
else:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        outputs = model(truth, training=True)
        loss = loss_of(outputs)
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    chosen = [outputs[name] for name in drawn]
print(json.dumps(dict(
    loss=float(loss), chosen=[np.asarray(each).tolist() for each in chosen],
    norms={{v.path: float(np.linalg.norm(ops.convert_to_numpy(g)))
           for v, g in zip(model.trainable_variables, gradients)}})))
"""


@pytest.mark.parametrize("method", ["mask_rcnn", "cascade_mask_rcnn"])
def test_losses_and_gradients_are_those_of_tensorflow(method):
    code = LOSSES_AND_GRADIENTS.format(method=method)
    expected = run_python(code, KERAS_BACKEND="tensorflow")
    found = run_python(code, KERAS_BACKEND="jax")
    # The same boxes are drawn, by integers.
    assert found["chosen"] == expected["chosen"]
    # Float32 through twelve blocks and the heads by other kernels.
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-4)
    for path, norm in expected["norms"].items():
        np.testing.assert_allclose(found["norms"][path], norm, rtol=2e-2, atol=1e-5)
