"""An exported SavedModel in runtimes with kernels of their own."""

import subprocess
import sys

import numpy as np
import pytest

from export.convert import saved_model
from export.model import loaded_model
from export.model.forward import Network, with_features
from keras_convnext.folding import fold

pytestmark = pytest.mark.slow

# Other kernels sum in other orders: a few roundings of float32 a layer.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def folder(workdir, tmp_path_factory):
    """A SavedModel whose default signature takes tensors: all that OpenVINO sees."""
    loaded = loaded_model.load(workdir / "model.keras")
    folder = tmp_path_factory.mktemp("saved_model") / "1"
    network = Network(
        loaded.model, loaded.preprocessing, fold(with_features(loaded.model))
    )
    saved_model.write(loaded, network, folder, default="tensors")
    return folder


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(0, 255, (5, 32, 32, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def expected(tiny_model, images):
    return tiny_model.predict(images, verbose=0)


def test_openvino_agrees_with_keras(folder, images, expected):
    openvino = pytest.importorskip("openvino", reason="openvino is not installed")
    core = openvino.Core()
    # It would compute in bfloat16 where the processor can.
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(folder), "CPU", exact)
    assert [given.any_name for given in compiled.inputs] == ["tensors"]
    np.testing.assert_allclose(
        compiled(images)["probabilities"], expected, atol=TOLERANCE
    )


def test_onnx_agrees_with_keras(folder, images, expected, tmp_path):
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    file = tmp_path / "model.onnx"
    subprocess.run(
        [
            *(sys.executable, "-m", "tf2onnx.convert", "--saved-model", folder),
            *("--signature_def", "tensors", "--opset", "17", "--output", file),
        ],
        check=True,
        capture_output=True,
    )
    session = runtime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (found,) = session.run(["probabilities"], {"tensors": images})
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)
