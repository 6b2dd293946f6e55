"""Heads for several labels, one alone and a number: in every file, and served."""

import dataclasses
import importlib.util
import io
import json

import keras
import numpy as np
import pytest
from PIL import Image

from export import main as command
from export.convert import openvino_ir
from keras_convnext.models import build
from keras_convnext.preprocessing import Preprocessing
from tests.export.conftest import SIZE_PX, randomized, smooth_images
from tests.export.whole_exports import predict_files, serve

pytestmark = pytest.mark.slow

HAS_BOTH = all(map(importlib.util.find_spec, ("openvino", "onnxruntime", "tf2onnx")))
# Other kernels sum in other orders: a few roundings of float32 a layer, of answers as
# large as these.
EXACT = {"probabilities": 1e-5, "number": 2e-3}
LABELS = {"labels": ("boat", "früh", "tree"), "one_label": ("boat",), "number": ()}


def network(variant, target):
    """The head that training leaves for a target, with weights that show."""
    model = build(
        variant,
        weights=None,
        input_shape=(SIZE_PX, SIZE_PX, 3),
        classes=len(LABELS[target]) or 1,
        patch_size=2,
        classifier_activation=None if target == "number" else "sigmoid",
    )
    model = randomized(model)
    if target != "number":
        return model
    in_unit = keras.layers.Rescaling(12.0, 340.0, name="head_number")
    return keras.Model(model.input, in_unit(model.output))


@pytest.fixture(scope="module", params=LABELS)
def exported(request, tiny_variant, tmp_path_factory):
    """The target, its export, images, and Keras' answers."""
    folder = tmp_path_factory.mktemp(request.param)
    model = network(tiny_variant, request.param)
    model.save(folder / "model.keras")
    if labels := LABELS[request.param]:
        (folder / "labels.txt").write_text("\n".join([*labels, ""]), "utf-8")
    seen = Preprocessing(size_px=SIZE_PX, crop_fraction=1.0)
    (folder / "preprocessing.json").write_text(json.dumps(dataclasses.asdict(seen)))
    formats = "saved_model,tflite" + ",openvino,onnx" * HAS_BOTH
    arguments = [f"--model={folder / 'model.keras'}", f"--format={formats}"]
    out = folder / "export"
    assert command.main(["export", *arguments, "--batch=0", f"--out={out}"]) == 0
    images = smooth_images(6)
    return request.param, out, images, model.predict(images, verbose=0)


@pytest.mark.skipif(not HAS_BOTH, reason="OpenVINO or ONNX Runtime is not installed")
def test_openvino_and_onnx_give_what_keras_gives(exported):
    import onnxruntime
    import openvino

    target, out, images, expected = exported
    name = "number" if target == "number" else "probabilities"
    core = openvino.Core()
    # In bfloat16 it would compute where the processor can.
    read, exact = core.read_model(out / "model_float32.xml"), {openvino_ir.HINT: "f32"}
    compiled = core.compile_model(read, "CPU", exact)
    file = out / "model_float32.onnx"
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (found,) = session.run([name], {"tensors": images})
    np.testing.assert_allclose(
        found.reshape(expected.shape), expected, atol=EXACT[name]
    )
    for image, row in zip(images, expected, strict=True):
        told = np.ravel(compiled(image[None])[name])
        np.testing.assert_allclose(told, row, atol=EXACT[name])
    # No answer is another's.
    assert np.ptp(expected[:, 0]) > 10 * EXACT[name]


def test_the_server_answers_with_labels_or_a_number(exported, tmp_path):
    pytest.importorskip("requests")
    pytest.importorskip("tensorflow_serving", reason="needs the extra serve")
    target, out, images, expected = exported
    files = []
    for image in images[:2]:
        file = io.BytesIO()
        Image.fromarray(image.astype(np.uint8)).save(file, "PNG")
        files.append(file.getvalue())
    with serve(out, tmp_path / "log") as server:
        answers = predict_files(server, files)
    for answer, row in zip(answers, expected, strict=False):
        assert answer["status"] == ""
        if target == "number":
            assert answer["number"] == pytest.approx(row[0], abs=EXACT["number"])
            continue
        scores = dict(zip(answer["classes"], answer["scores"], strict=True))
        assert scores == pytest.approx(
            dict(zip(LABELS[target], row.tolist(), strict=True)),
            abs=EXACT["probabilities"],
        )
