"""Exports to OpenVINO and ONNX, each file read by its runtime as a user reads it."""

import contextlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from export import main as command
from export.convert import openvino_ir
from tests.export.conftest import CLASSES

openvino = pytest.importorskip("openvino", reason="openvino is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("nncf", reason="nncf is not installed")
pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
# Other kernels sum in other orders: a few roundings of float32 a layer.
EXACT = 1e-5
# Weights rounded by 2**-9, or 2**-12, of themselves, and a network that adds such
# errors up over some ten layers; the limits of an export are wider.
ROUNDED = {"bfloat16": 5e-2, "float16": 5e-3}
OPENVINO = ("float32", "bfloat16", "float16", "int8")
ONNX = ("float32", "float16")


def export(*arguments):
    return command.main(["export", *map(str, arguments)])


def images_of_classes(count, seed):
    """Noise around a color for each class: what a tiny network learns in seconds."""
    labels = np.arange(count) % len(CLASSES)
    generator = np.random.default_rng(seed)
    colors = np.random.default_rng(1).uniform(0, 255, (len(CLASSES), 1, 1, 3))
    noise = generator.integers(0, 256, (count, 32, 32, 3))
    return np.uint8(noise / 3 + colors[labels] * 2 / 3), labels


@pytest.fixture(scope="module")
def trained(tiny_model, workdir, tmp_path_factory):
    """A workdir with a model that is sure of its answers, as trained ones are."""
    folder = tmp_path_factory.mktemp("trained")
    images, labels = images_of_classes(210, seed=0)
    model = keras.models.clone_model(tiny_model)
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    keras.utils.set_random_seed(0)
    model.fit(np.float32(images), labels, epochs=12, batch_size=32, verbose=0)
    model.save(folder / "model.keras")
    for name in ("labels.txt", "preprocessing.json"):
        (folder / name).write_text((workdir / name).read_text())
    (folder / "calibration").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / "calibration" / f"{number:03}.png")
    return folder, model


@pytest.fixture(scope="module")
def images():
    return np.float32(images_of_classes(14, seed=2)[0])


@pytest.fixture(scope="module")
def expected(trained, images):
    return trained[1].predict(images, verbose=0)


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """The folder of two exports, and what they printed."""
    folder, _ = trained
    out = tmp_path_factory.mktemp("export") / "out"
    asked = f"--model={folder / 'model.keras'}", f"--out={out}", "--most_images=10"
    images = f"--calibration=folder:{folder / 'calibration'}"
    with contextlib.redirect_stdout(io.StringIO()) as said:
        formats = "--format=openvino", f"--precision={','.join(OPENVINO)}"
        assert export(*asked, *formats, images) == 0
        formats = "--format=onnx", f"--precision={','.join(ONNX)}"
        assert export(*asked, *formats, "--batch=0") == 0
    return out, said.getvalue()


@pytest.fixture(scope="module")
def out(exported):
    return exported[0]


@pytest.fixture(scope="module")
def manifest(out):
    return json.loads((out / "export.json").read_text())["artefacts"]


def ask_openvino(file, images):
    core = openvino.Core()
    # In bfloat16 it would compute where the processor can.
    exact = {openvino_ir.HINT: "f32"}
    compiled = core.compile_model(core.read_model(file), "CPU", exact)
    dtype = compiled.inputs[0].element_type.to_dtype()
    rows = [compiled(image[None].astype(dtype))["probabilities"] for image in images]
    return np.concatenate(rows)


def ask_onnx(file, images):
    session = runtime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (found,) = session.run(["probabilities"], {"tensors": images})
    return found


def test_the_folder_has_each_file_and_no_other(out, manifest):
    files = [f"model_{name}.{end}" for name in OPENVINO for end in ("xml", "bin")]
    files += [f"model_{name}.onnx" for name in ONNX]
    others = ["export.json", "labels.txt", "preprocessing.json", "report.html"]
    assert sorted(path.name for path in out.iterdir()) == sorted(files + others)
    assert set(manifest) == {file for file in files if not file.endswith(".bin")}
    for place, entry in manifest.items():
        beside = [place.replace(".xml", ".bin")] if ".xml" in place else []
        assert entry["beside"] == beside
        sizes = [(out / name).stat().st_size for name in (place, *beside)]
        assert entry["bytes"] == sum(sizes)


def test_stdout_is_the_table_of_files_alone(exported):
    rows = [line.split()[0] for line in exported[1].splitlines()]
    files = [f"model_{name}.xml" for name in OPENVINO]
    assert rows == ["file", *files, "file", *(f"model_{name}.onnx" for name in ONNX)]


@pytest.mark.parametrize("ask", [ask_openvino, ask_onnx])
def test_float32_agrees_with_keras(out, images, expected, ask):
    file = out / f"model_float32.{'xml' if ask is ask_openvino else 'onnx'}"
    np.testing.assert_allclose(ask(file, images), expected, atol=EXACT)


@pytest.mark.parametrize(
    ("ask", "file"),
    [
        (ask_openvino, "model_bfloat16.xml"),
        (ask_openvino, "model_float16.xml"),
        (ask_onnx, "model_float16.onnx"),
    ],
)
def test_rounded_weights_are_near_keras_and_half_as_large(
    out, images, expected, manifest, ask, file
):
    found, name = ask(out / file, images), file.partition(".")[0][6:]
    np.testing.assert_allclose(found, expected, atol=ROUNDED[name])
    # They are rounded indeed.
    assert np.max(np.abs(found - expected)) > EXACT / 10
    whole = file.replace(name, "float32").replace(".xml", ".bin")
    size = (out / file.replace(".xml", ".bin")).stat().st_size
    # All but the description of a graph of some hundred operators.
    assert size < 0.5 * (out / whole).stat().st_size + 60_000


def test_integers_take_pixels_as_they_are(out, images, expected):
    model = openvino.Core().read_model(out / "model_int8.xml")
    assert model.input().element_type == openvino.Type.u8
    found = ask_openvino(out / "model_int8.xml", images)
    assert np.array_equal(found.argmax(-1), expected.argmax(-1))
    kinds = {each.get_type_name() for each in model.get_ops()}
    assert "FakeQuantize" in kinds


@pytest.mark.parametrize("name", OPENVINO)
def test_openvino_files_describe_themselves(trained, out, manifest, name):
    model = openvino.Core().read_model(out / f"model_{name}.xml")

    def told(key):
        return model.get_rt_info([openvino_ir.SECTION, key]).astype(str)

    assert tuple(json.loads(told("labels"))) == CLASSES
    assert json.loads(told("preprocessing"))["crop_fraction"] == 0.875
    assert told("image").startswith("RGB in 0..255, cut to its middle")
    hint = "bf16" if name == "bfloat16" else "f32"
    assert told(openvino_ir.HINT) == hint
    capable = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    computed = manifest[f"model_{name}.xml"]["arithmetic"]
    assert computed == (hint if capable else "f32")


@pytest.mark.parametrize("name", ONNX)
def test_onnx_files_describe_themselves_and_need_nothing_special(out, name):
    import onnx

    model = onnx.load(out / f"model_{name}.onnx")
    told = {each.key: each.value for each in model.metadata_props}
    assert tuple(json.loads(told["labels"])) == CLASSES
    assert json.loads(told["preprocessing"])["size_px"] == 32
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 17)]
    (given,) = model.graph.input
    assert given.name == "tensors"
    assert given.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert [each.dim_value for each in given.type.tensor_type.shape.dim] == [
        0,
        32,
        32,
        3,
    ]


def test_the_manifest_says_which_runtimes_judged(manifest):
    for place, entry in manifest.items():
        packages = ("onnxruntime",) if ".onnx" in place else ("openvino", "nncf")
        for package in packages:
            assert entry["versions"][package][0].isdigit()
        assert entry["operators"]


@pytest.mark.parametrize("package", ["openvino", "onnxruntime"])
def test_the_programs_of_the_page_name_the_class(
    out, images, expected, tmp_path, package
):
    page = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    (program,) = (
        text
        for text in re.findall(r"```python\n(.*?)```", page, re.DOTALL)
        if package in text.partition("\n")[0]
    )
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    (tmp_path / "runs" / "demo" / "export").symlink_to(out)
    # Any image in the color of its class.
    image = Image.fromarray(np.uint8(images[3])).resize((64, 80), 0)
    image.save(tmp_path / "photo.jpg", quality=95)
    asked = [sys.executable, "-P", "-c", program]
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(CLASSES[expected[3].argmax()])


def test_a_file_that_disagrees_is_refused_and_nothing_stays(
    trained, tmp_path, capsys, monkeypatch
):
    from openvino import opset15 as operators

    def misplaced(model, images):
        for each in model.get_ops():
            if each.get_type_name() == "Constant" and each.data.size > 1000:
                other = operators.constant(each.data[::-1].copy()).output(0)
                for user in each.output(0).get_target_inputs():
                    user.replace_source_output(other)
        return model

    monkeypatch.setitem(openvino_ir._CHANGES, "float32", misplaced)
    place = tmp_path / "made"
    asked = f"--model={trained[0] / 'model.keras'}", f"--out={place}"
    assert export(*asked, "--format=openvino", "--most_images=10") == 1
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert "model_float32.xml does not agree with Keras" in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["openvino", "onnx"])
def test_files_for_any_number_and_any_size_answer_as_tflite_does(
    trained, tmp_path, name
):
    asked = f"--model={trained[0] / 'model.keras'}", "--most_images=10"
    formats = f"--format=tflite,{name}", "--batch=0", "--any_size"
    with contextlib.redirect_stdout(io.StringIO()):
        assert export(*asked, *formats, f"--out={tmp_path}") == 0
    larger = np.random.default_rng(4).uniform(0, 255, (2, 48, 40, 3)).astype(np.float32)
    interpreter = Interpreter(str(tmp_path / "model_float32.tflite"))
    interpreter.resize_tensor_input(0, larger.shape)
    (expected,) = interpreter.get_signature_runner()(tensors=larger).values()
    ask, end = {"openvino": (ask_openvino, "xml"), "onnx": (ask_onnx, "onnx")}[name]
    found = ask(tmp_path / f"model_float32.{end}", larger)
    np.testing.assert_allclose(found, expected, atol=EXACT)
