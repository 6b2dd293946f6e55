"""Files of lower precision: what they take, how big they are, how near they stay."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

import keras_convnext
from export import main as command
from export.convert import tflite
from export.convert.formats import FORMATS
from export.convert.precisions import PRECISIONS
from export.model.forward import Network, with_features
from export.verify import isolated_runner, quantization_error
from keras_convnext.folding import fold
from keras_convnext.models import build
from keras_convnext.preprocessing import Preprocessing
from keras_convnext.variants import VARIANTS
from tests.export.conftest import randomized, smooth_images


def export(*arguments):
    return command.main(["export", *map(str, arguments)])


@pytest.fixture(scope="module")
def images():
    return smooth_images(120)


@pytest.mark.parametrize("name", ["float16", "dynamic_int8", "int8", "int16x8"])
@pytest.mark.slow
def test_each_precision_needs_builtin_operators_only_and_runs(
    name, network, exact, images, tiny_model
):
    contents = tflite.convert(network, PRECISIONS[name], images[:20], exact=exact)
    assert tflite.operators(contents)[1] == []
    interpreter = Interpreter(model_content=contents)
    runner = interpreter.get_signature_runner()
    dtype = runner.get_input_details()["tensors"]["dtype"]
    assert dtype.__name__ == tflite.input_type(PRECISIONS[name])
    found = runner(tensors=images[:1].astype(dtype))["probabilities"]
    expected = tiny_model.predict(images[:1], verbose=0)
    # Eight bits for most activations of a narrow network; a lost layer or a wrong
    # scale gives far more.
    np.testing.assert_allclose(found, expected, atol=0.03)
    # An integer softmax would sum to a whole number of its steps.
    assert found.sum() == pytest.approx(1.0, abs=1e-6)
    made_by = tflite.made_by(contents)
    assert list(made_by.values())[-1] == "SOFTMAX"


@pytest.fixture(scope="module")
def gray(images):
    """Images of which none is black or white anywhere."""
    return 60 + images[:20] * 0.5


@pytest.fixture(scope="module")
def integers(network, exact, gray):
    return tflite.convert(network, PRECISIONS["int8"], gray, exact=exact)


@pytest.mark.slow
def test_of_an_integer_file_the_blocks_products_and_activations_are_integers(
    exact, integers, gray
):
    errors = quantization_error.measure(exact, integers, gray[:2])
    types = {}
    for layer in errors:
        part = "block" if "_mlp" in layer.tensor else "rest"
        types.setdefault((part, layer.operator), set()).add(layer.type)
    for operator in ("FULLY_CONNECTED", "GELU"):
        assert types["block", operator] == {"int8"}, operator
    for operator in ("DEPTHWISE_CONV_2D", "CONV_2D", "FULLY_CONNECTED", "SOFTMAX"):
        assert types["rest", operator] == {"float32"}, operator
    for operator in ("MEAN", "RSQRT", "SUB", "ADD"):
        assert types["block", operator] == {"float32"}, operator
    # The residual sums.
    sums = [e.type for e in errors if e.tensor.endswith("_add_1/Add")]
    assert sums
    assert set(sums) == {"float32"}
    assert all(0 <= error.error < 0.5 for error in errors)
    assert all(error.least <= error.most for error in errors)
    assert all((error.step is None) == (error.type == "float32") for error in errors)


@pytest.fixture(scope="module")
def shallow_atto():
    """A network whose first and last layer are a small part of it, and its file."""
    variant = replace(VARIANTS["convnext_atto"], depths=(1, 1, 1, 1))
    model = randomized(build(variant, weights=None, input_shape=(32, 32, 3), classes=7))
    preprocessing = Preprocessing(size_px=32, crop_fraction=1.0)
    network = Network(model, preprocessing, fold(with_features(model)))
    return network, tflite.convert(network, PRECISIONS["float32"])


@pytest.mark.parametrize(
    "name", [pytest.param("dynamic_int8", marks=pytest.mark.slow), "int8"]
)
def test_weights_are_eight_bits_but_for_those_of_the_first_and_last_layer(
    name, shallow_atto, images
):
    network, exact = shallow_atto
    contents = tflite.convert(network, PRECISIONS[name], images[:20], exact=exact)
    stored = stored_weights(contents)
    ends = {"stem_conv", "head_dense"}
    assert {layer for layer, (type_, _) in stored.items() if type_ != "INT8"} == ends
    originals = stored_weights(exact)
    assert set(stored) == set(originals)
    for layer in ends:
        np.testing.assert_array_equal(stored[layer][1], originals[layer][1])
    assert len(contents) <= 0.28 * len(exact)


def stored_weights(contents):
    """The type and the bytes of the weights in a file, by layer."""
    model = schema.Model.GetRootAs(contents)
    graph = model.Subgraphs(0)
    types = {value: name for name, value in vars(schema.TensorType).items()}
    made, found = {}, {}
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        made[int(operator.Outputs(0))] = operator
        code = model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()
        if code not in (
            schema.BuiltinOperator.CONV_2D,
            schema.BuiltinOperator.DEPTHWISE_CONV_2D,
            schema.BuiltinOperator.FULLY_CONNECTED,
        ):
            continue
        weights = int(operator.Inputs(1))
        if weights in made:
            # Converted when the file is loaded.
            weights = int(made[weights].Inputs(0))
        tensor = graph.Tensors(weights)
        name = graph.Tensors(int(operator.Outputs(0))).Name().decode()
        layer = next(
            (end for end in ("stem_conv", "head_dense") if end in name),
            name,
        )
        data = model.Buffers(tensor.Buffer()).DataAsNumpy()
        found[layer] = (types[tensor.Type()], data)
    return found


def test_a_layer_that_is_wrong_stands_out_in_the_report(exact, images):
    assert {e.error for e in quantization_error.measure(exact, exact, images[:1])} == {
        0.0
    }
    changed = bytearray(exact)
    name = b"stage1_block0_dwconv"
    model = schema.Model.GetRootAs(bytes(changed))
    graph = model.Subgraphs(0)
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        output = graph.Tensors(int(operator.Outputs(0)))
        if name in output.Name() and operator.InputsLength() == 3:
            kernel = model.Buffers(graph.Tensors(int(operator.Inputs(1))).Buffer())
            values = kernel.DataAsNumpy().view(np.float32)
            start = bytes(changed).index(values.tobytes())
            changed[start : start + values.nbytes] = (2 * values).tobytes()
    errors = quantization_error.measure(exact, bytes(changed), images[:1])
    wrong = [error.error > 1e-3 for error in errors]
    first = errors[wrong.index(True)]
    assert name.decode() in first.tensor
    assert all(not is_wrong for is_wrong in wrong[: wrong.index(True)])


def test_a_uint8_input_takes_pixels_as_they_are(integers):
    given = Interpreter(model_content=integers).get_input_details()[0]
    assert given["dtype"] is np.uint8
    # Although the images of the calibration have neither black nor white.
    scale, zero = given["quantization"]
    assert scale == pytest.approx(1.0, abs=1e-6)
    assert zero == 0


@pytest.mark.parametrize(
    ("batch", "shape"),
    [pytest.param(4, 4, marks=pytest.mark.slow), (None, -1)],
)
def test_a_file_may_take_more_images_in_a_call(
    batch, shape, network, images, tiny_model, tmp_path
):
    contents = tflite.convert(network, PRECISIONS["float32"], batch=batch)
    given = Interpreter(model_content=contents).get_input_details()[0]
    assert given["shape_signature"][0] == shape
    (tmp_path / "model.tflite").write_bytes(contents)
    # Ten images fill neither batches of four nor the three that the program takes
    # of any number.
    answers = isolated_runner.run_tflite(
        str(tmp_path / "model.tflite"), {"tensors": images[:10]}
    )
    expected = tiny_model.predict(images[:10], verbose=0)
    np.testing.assert_allclose(answers["answers"], expected, atol=1e-5)


@pytest.mark.parametrize("name", ["float32", "float16", "dynamic_int8"])
@pytest.mark.slow
def test_a_file_may_leave_the_size_of_its_images_open(
    name, network, tiny_model, tiny_variant
):
    contents = tflite.convert(network, PRECISIONS[name], any_size=True)
    interpreter = Interpreter(model_content=contents)
    given = interpreter.get_input_details()[0]
    assert given["shape_signature"].tolist() == [1, -1, -1, 3]
    other = build(
        tiny_variant, weights=None, input_shape=(48, 64, 3), classes=7, patch_size=2
    )
    other.set_weights(tiny_model.get_weights())
    limit = {"float32": 1e-5, "float16": 2e-3, "dynamic_int8": 3e-2}[name]
    image = np.random.default_rng(0).uniform(0, 255, (1, 48, 64, 3))
    image = image.astype(np.float32)
    interpreter.resize_tensor_input(given["index"], image.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], image)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, other.predict(image, verbose=0), atol=limit)


def test_integers_take_one_size(workdir, tmp_path, capsys):
    arguments = (f"--model={workdir}", f"--out={tmp_path / 'out'}", "--any_size")
    assert export(*arguments, "--precision=float32,int8") == 2
    assert "--any_size is not for int8" in capsys.readouterr().err


def test_integers_without_images_are_refused(workdir, tmp_path, capsys):
    few = tmp_path / "few"
    few.mkdir()
    for index, image in enumerate(smooth_images(99)):
        Image.fromarray(image.astype(np.uint8)).save(few / f"{index}.png")
    out = tmp_path / "out"
    arguments = [f"--model={workdir}", f"--out={out}", "--precision=int8"]
    for calibration, words in (
        ((), "need --calibration: real images, at least 100, given as"),
        ((f"--calibration=folder:{few}",), "holds 99 images; at least 100 are needed"),
        ((f"--calibration=folder:{tmp_path / 'no'}",), "there is no folder"),
        (("--calibration=tulips",), "Dataset tulips not found"),
    ):
        assert export(*arguments, *calibration) == 2
        message = capsys.readouterr().err.strip()
        assert words in message
        assert "\n" not in message
    assert not out.exists()


@pytest.mark.slow
def test_all_precisions_of_a_trained_model_pass_their_limits(tiny_model, tmp_path):
    # A random network is all but undecided between its classes, and eight bits decide
    # otherwise: the limits are for models that have learned something.
    images = smooth_images(400)
    labels = np.arange(len(images)) % 7
    colors = np.random.default_rng(1).uniform(0, 255, (7, 1, 1, 3))
    images = np.uint8(images / 3 + colors[labels] * 2 / 3)
    model = keras.models.clone_model(tiny_model)
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    keras.utils.set_random_seed(0)
    model.fit(images, labels, epochs=12, batch_size=32, verbose=0)
    model.save(tmp_path / "model.keras")
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index}.png")
    out = tmp_path / "out"
    arguments = (
        f"--model={tmp_path / 'model.keras'}",
        f"--out={out}",
        f"--calibration=folder:{folder}",
        f"--precision={','.join(FORMATS['tflite'].precisions)}",
    )
    assert export(*arguments) == 0
    artifacts = json.loads((out / "export.json").read_text())["artefacts"]
    files = {f"model_{name}.tflite" for name in FORMATS["tflite"].precisions}
    assert set(artifacts) == {"saved_model/1", *files}
    # The images of the proof are not those of the calibration.
    origins = {entry["pictures"]["origin"] for entry in artifacts.values()}
    assert origins == {f"those of {folder} that calibration did not use"}
    integers = artifacts["model_integer.tflite"]
    assert "128 less than the pixel" in integers["inputs"]["tensors"]
    assert integers["outputs"] == {
        "probabilities": f"int16 (1, 7), {1 / 32768:.9g} a step, 0 for 0"
    }
    # Its reader knows steps, too: the pixels of any image go in.
    classifier = keras_convnext.load(out / "model_integer.tflite")
    scores = [best[0][1] for best in classifier(list(images[:8]), top=1)]
    expected = model.predict(np.float32(images[:8]), verbose=0).max(axis=-1)
    np.testing.assert_allclose(scores, expected, atol=0.05)
    layers = artifacts["model_int8.tflite"]["layers"]
    assert len(layers) > 40
    assert {"int8"} <= {layer["type"] for layer in layers}
