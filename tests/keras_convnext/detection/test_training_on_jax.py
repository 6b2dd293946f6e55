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

DRAWS = 4
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
# One edge: where a mask of single pixels covers a cell by half, rounding decides.
rows, columns = np.mgrid[:64, :64]
masks = np.broadcast_to(rows + 0.7123 * columns < 50.2, (2, 3, 64, 64)).astype("uint8")

def draw(number):
    random = np.random.default_rng(number)
    for v in sorted(model.trainable_variables, key=lambda v: v.path):
        scale = (1 / np.prod(v.shape[:-1])) ** 0.5 if len(v.shape) > 1 else 0.1
        v.assign(random.normal(size=v.shape) * scale + ("gamma" in v.path))
    return dict(
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

    def forward(trained, others, truth):
        outputs, _ = model.stateless_call(trained, others, truth, training=True)
        return loss_of(outputs), [outputs[name] for name in drawn]

    compiled = jax.jit(jax.value_and_grad(forward, has_aux=True))

    def measure(truth):
        (loss, chosen), gradients = compiled(
            [v.value for v in model.trainable_variables],
            [v.value for v in model.non_trainable_variables], truth)
        return loss, chosen, gradients
else:
    import tensorflow as tf

    def measure(truth):
        with tf.GradientTape() as tape:
            outputs = model(truth, training=True)
            loss = loss_of(outputs)
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        return loss, [outputs[name] for name in drawn], gradients

told = []
arrays = dict()
for number in range({draws}):
    loss, chosen, gradients = measure(draw(number))
    told.append(dict(
        loss=float(loss), chosen=[np.asarray(each).tolist() for each in chosen]))
    for v, g in zip(model.trainable_variables, gradients):
        arrays[f"{{number}} {{v.path}}".replace("/", " ")] = ops.convert_to_numpy(g)
np.savez({file!r}, **arrays)
print(json.dumps(told))
"""


@pytest.mark.parametrize("method", ["mask_rcnn", "cascade_mask_rcnn"])
def test_losses_and_gradients_are_those_of_tensorflow(method, tmp_path):
    files = {name: str(tmp_path / f"{name}.npz") for name in ("tensorflow", "jax")}
    expected, found = (
        run_python(
            LOSSES_AND_GRADIENTS.format(method=method, file=file, draws=DRAWS),
            KERAS_BACKEND=backend,
        )
        for backend, file in files.items()
    )
    for one, other in zip(found, expected, strict=True):
        # The same boxes are drawn, by integers.
        assert one["chosen"] == other["chosen"]
        # Float32 through twelve blocks and the heads by other kernels.
        np.testing.assert_allclose(one["loss"], other["loss"], rtol=1e-4)
    expected, found = (np.load(file) for file in files.values())
    assert set(found.files) == set(expected.files)
    differences = np.zeros(DRAWS)
    for name in expected.files:
        number = int(name.partition(" ")[0])
        norm = np.linalg.norm(found[name] - expected[name])
        norm /= np.linalg.norm(expected[name])
        differences[number] = max(differences[number], norm)
    # Kernels round differently. Where that moves an activation across zero, ReLU's
    # gradient jumps: by 1 / sqrt(6,000) of a layer's with the 6,000 activations here. A
    # wrong formula would show in every draw.
    assert differences.min() < 1e-4
    assert differences.max() < 5e-2
