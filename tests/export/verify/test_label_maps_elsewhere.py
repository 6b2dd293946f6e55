"""Segmentation models exported to OpenVINO and ONNX, read by their runtimes."""

import json

import numpy as np
import pytest
from PIL import Image

import keras_convnext
from export.convert import openvino_ir
from export.verify.label_map_parity import pixel_agreement
from tests.checks import balance_classes, raise_gains, tiny_upernet
from tests.export.whole_exports import export

openvino = pytest.importorskip("openvino", reason="openvino is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("nncf", reason="nncf is not installed")
pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
pytestmark = pytest.mark.slow

CLASSES = ("red", "green", "blue")
SIZE_PX = 64
# Where two logits are equal but for the rounding of float32, a pixel may have the other
# class.
TIES = 1e-3
# Of a network with random weights int8 is about as near as the limit of an export.
OPENVINO = ("float32", "bfloat16", "float16")


def smooth_image(seed):
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3)).astype("uint8")
    return np.asarray(Image.fromarray(coarse).resize((SIZE_PX, SIZE_PX), 3))


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A finished run of segmentation, as far as exporting looks into it."""
    folder = tmp_path_factory.mktemp("run")
    images = np.stack([smooth_image(seed) for seed in range(4)]).astype("float32")
    balance_classes(raise_gains(tiny_upernet(3)), images).save(folder / "model.keras")
    (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n")
    record = {"size_px": SIZE_PX, "resize": "keep_ratio"}
    (folder / "preprocessing.json").write_text(json.dumps(record))
    return folder


@pytest.fixture(scope="module")
def out(workdir, tmp_path_factory):
    images, out = tmp_path_factory.mktemp("images"), tmp_path_factory.mktemp("out")
    for seed in range(16):
        Image.fromarray(smooth_image(seed)).save(images / f"{seed:03}.png")
    asked = f"--images=folder:{images}", "--most_images=16"
    names = f"--precision={','.join(OPENVINO)}"
    export(workdir, out, "--format=openvino", names, *asked)
    export(workdir, out, "--format=onnx", "--precision=float32,float16", *asked)
    return out


def test_every_file_is_there_and_proven(out):
    entries = json.loads((out / "export.json").read_text())["artefacts"]
    files = [f"model_{name}.xml" for name in OPENVINO]
    assert set(entries) == {*files, "model_float32.onnx", "model_float16.onnx"}
    assert min(entry["agreement"] for entry in entries.values()) > 0.95


def test_both_give_keras_label_map(workdir, out):
    model = keras_convnext.load(workdir)
    images = [smooth_image(seed) for seed in range(200, 204)]
    expected = [model(image) for image in images]
    core = openvino.Core()
    exact = {openvino_ir.HINT: "f32"}
    compiled = core.compile_model(
        core.read_model(out / "model_float32.xml"), "CPU", exact
    )
    session = runtime.InferenceSession(
        out / "model_float32.onnx", providers=["CPUExecutionProvider"]
    )
    for image, wanted in zip(np.float32(images), expected, strict=True):
        # Not one class alone, which would agree by chance.
        assert len(np.unique(wanted)) > 1
        (found,) = compiled(image[None])["classes"]
        assert pixel_agreement([wanted], [found]) >= 1 - TIES
        (found,) = session.run(["classes"], {"tensors": image[None]})[0]
        assert pixel_agreement([wanted], [found]) >= 1 - TIES
