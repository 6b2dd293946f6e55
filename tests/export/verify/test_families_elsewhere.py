"""Networks with other stems, norms, heads and blocks, in OpenVINO and ONNX Runtime."""

import dataclasses

import numpy as np
import pytest

from export.convert import onnx_file, openvino_ir, tflite
from export.convert.precisions import PRECISIONS
from export.model.forward import Network, with_features
from keras_convnext.folding import fold
from keras_convnext.models import build
from keras_convnext.preprocessing import Preprocessing
from keras_convnext.variants import VARIANTS
from tests.export.conftest import randomized, smooth_images

openvino = pytest.importorskip("openvino", reason="openvino is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("nncf", reason="nncf is not installed")
pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
pytestmark = pytest.mark.slow

# One of each form that the table of variants has.
FORMS = (
    "convnext_atto",
    "convnext_atto_ols",
    "convnext_atto_rms",
    "convnext_isotropic_small",
    "convnext_large_mlp",
    "convnext_tiny_hnf",
    "convnext_zepto_rms_ols",
    "convnextv2_atto",
)
# Other kernels sum in other orders: a few roundings of float32 a layer.
EXACT = 1e-5
# Root mean square. Eight bits of the activations of narrow networks with random weights
# leave 0.006 to 0.010; with first and last layer in integers, too, it was 0.0115 to
# 0.014. Answers of different images lie further apart, which is asked too.
INTEGERS = 0.011


@pytest.fixture(scope="module")
def images():
    return smooth_images(60)


@pytest.fixture(scope="module", params=FORMS)
def case(request, images):
    """A small network of one form, and Keras' answers."""
    variant = VARIANTS[request.param]
    is_isotropic = len(variant.depths) == 1
    depths, widths = ((2,), (24,)) if is_isotropic else ((1, 1, 2, 1), (8, 16, 24, 32))
    small = dataclasses.replace(variant, depths=depths, widths=widths)
    model = randomized(build(small, weights=None, input_shape=(32, 32, 3), classes=7))
    seen = Preprocessing(size_px=32, crop_fraction=1.0)
    network = Network(model, seen, fold(with_features(model)))
    return network, model.predict(images[20:], verbose=0)


@pytest.mark.parametrize(("name", "limit"), [("float32", EXACT), ("int8", INTEGERS)])
def test_openvino_is_near_keras(name, limit, case, images, tmp_path):
    network, expected = case
    exact = tflite.convert(network, PRECISIONS["float32"])
    file = tmp_path / "model.xml"
    openvino_ir.write(exact, PRECISIONS[name], images[:20], {}, file)
    core = openvino.Core()
    settings = {openvino_ir.HINT: "f32"}
    compiled = core.compile_model(core.read_model(file), "CPU", settings)
    dtype = compiled.input().element_type.to_dtype()
    rows = [compiled(one[None].astype(dtype))["probabilities"] for one in images[20:]]
    error = np.concatenate(rows) - expected
    assert np.sqrt(np.mean(error**2)) < limit
    assert np.std(expected, axis=0).max() > 3 * limit


def test_onnx_is_near_keras(case, images, tmp_path):
    network, expected = case
    file = tmp_path / "model.onnx"
    texts = {"description": "Probabilities"}
    onnx_file.write(network, PRECISIONS["float32"], None, False, texts, file)
    session = runtime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (found,) = session.run(["probabilities"], {"tensors": images[20:]})
    np.testing.assert_allclose(found, expected, atol=EXACT)
