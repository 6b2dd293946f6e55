"""The library under Keras' OpenVINO backend, which runs models and trains none."""

import importlib.util

import pytest

from tests.checks import run_python

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("openvino") is None, reason="openvino is not installed"
    ),
]

MAKE = """
import json, keras, numpy as np, keras_convnext
model = keras_convnext.create({name!r}, classes=4, input_shape=(40, 40, 3))
random = np.random.default_rng(0)
for v in model.trainable_variables:
    if len(v.shape) == 1:
        v.assign(random.uniform(0.1, 1.0, v.shape).astype("float32"))
images = random.uniform(0, 255, (2, 40, 40, 3)).astype("float32")
model.save({file!r})
np.savez({file!r} + ".npz", images=images, expected=model(images))
print(json.dumps(None))
"""
RUN = """
import json, keras, numpy as np, keras_convnext
model = keras.models.load_model({file!r})
arrays = np.load({file!r} + ".npz")
images, expected = arrays["images"], arrays["expected"]
folded = keras_convnext.fold(model)
far = lambda found: float(np.abs(keras.ops.convert_to_numpy(found) - expected).max())
print(json.dumps(dict(
    backend=keras.backend.backend(), called=far(model(images)),
    folded=far(folded(images)), predicted=far(folded.predict(images, verbose=0)))))
"""


@pytest.mark.parametrize("name", ["convnext_atto", "convnextv2_atto"])
def test_a_saved_model_runs_and_folds(name, tmp_path):
    file = str(tmp_path / "model.keras")
    run_python(MAKE.format(name=name, file=file), KERAS_BACKEND="tensorflow")
    got = run_python(RUN.format(file=file), KERAS_BACKEND="openvino")
    assert got["backend"] == "openvino"
    assert max(got["called"], got["folded"]) <= 1e-5
    # `predict` computes in bfloat16 where the processor has that.
    assert got["predicted"] <= 2e-2
