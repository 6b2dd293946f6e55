"""Files of lower precision: what they take, how big they are, how near they stay."""

import json

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from export import main as command
from export import rerun, tflite
from export.network import Network, with_features
from export.precisions import PRECISIONS
from keras_convnext.folding import fold
from keras_convnext.preprocessing import Preprocessing


def export(*arguments):
    return command.main(["export", *map(str, arguments)])


def smooth_pictures(count, size_px=32):
    """Blurred noise: colours and edges as in photographs."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3))
    return np.stack(
        [
            np.asarray(Image.fromarray(image).resize((size_px, size_px), 3))
            for image in coarse.astype(np.uint8)
        ]
    ).astype(np.float32)


@pytest.fixture(scope="module")
def network(tiny_model):
    preprocessing = Preprocessing(size_px=32, crop_fraction=1.0)
    return Network(tiny_model, preprocessing, fold(with_features(tiny_model)))


@pytest.fixture(scope="module")
def pictures():
    return smooth_pictures(120)


@pytest.mark.parametrize("name", ["float16", "dynamic_int8", "int8", "int16x8"])
def test_each_precision_needs_builtin_operators_only_and_runs(
    name, network, pictures, tiny_model
):
    contents = tflite.convert(network, PRECISIONS[name], pictures[:20])
    assert tflite.operators(contents)[1] == []
    interpreter = Interpreter(model_content=contents)
    runner = interpreter.get_signature_runner()
    dtype = runner.get_input_details()["tensors"]["dtype"]
    assert dtype.__name__ == tflite.input_type(PRECISIONS[name])
    found = runner(tensors=pictures[:1].astype(dtype))["probabilities"]
    expected = tiny_model.predict(pictures[:1], verbose=0)
    # Eight bits for every activation of a narrow network; a lost layer or a wrong
    # scale gives far more.
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_a_uint8_input_takes_pixels_as_they_are(network, pictures):
    # No picture of these is black or white anywhere, and the step is 1 all the same.
    contents = tflite.convert(network, PRECISIONS["int8"], 60 + pictures[:20] * 0.5)
    given = Interpreter(model_content=contents).get_input_details()[0]
    assert given["dtype"] is np.uint8
    scale, zero = given["quantization"]
    assert scale == pytest.approx(1.0, abs=1e-6)
    assert zero == 0


@pytest.mark.parametrize(("batch", "shape"), [(4, 4), (None, -1)])
def test_a_file_may_take_more_pictures_in_a_call(
    batch, shape, network, pictures, tiny_model, tmp_path
):
    contents = tflite.convert(network, PRECISIONS["float32"], batch=batch)
    given = Interpreter(model_content=contents).get_input_details()[0]
    assert given["shape_signature"][0] == shape
    (tmp_path / "model.tflite").write_bytes(contents)
    # Ten pictures fill neither batches of four nor the three that the program takes
    # of any number.
    answers = rerun.run_tflite(
        str(tmp_path / "model.tflite"), {"tensors": pictures[:10]}
    )
    expected = tiny_model.predict(pictures[:10], verbose=0)
    np.testing.assert_allclose(answers["probabilities"], expected, atol=1e-5)


def test_integers_without_pictures_are_refused(workdir, tmp_path, capsys):
    few = tmp_path / "few"
    few.mkdir()
    for index, image in enumerate(smooth_pictures(99)):
        Image.fromarray(image.astype(np.uint8)).save(few / f"{index}.png")
    out = tmp_path / "out"
    arguments = [f"--model={workdir}", f"--out={out}", "--precision=int8"]
    for calibration, words in (
        ((), "need --calibration=folder:PATH or tfds:NAME"),
        ((f"--calibration=folder:{few}",), "holds 99 pictures, at least 100"),
        ((f"--calibration=folder:{tmp_path / 'no'}",), "there is no folder"),
        (("--calibration=tulips",), "expected folder:PATH or tfds:NAME"),
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
    pictures = smooth_pictures(400)
    labels = np.arange(len(pictures)) % 7
    colors = np.random.default_rng(1).uniform(0, 255, (7, 1, 1, 3))
    pictures = np.uint8(pictures / 3 + colors[labels] * 2 / 3)
    model = keras.models.clone_model(tiny_model)
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    keras.utils.set_random_seed(0)
    model.fit(pictures, labels, epochs=12, batch_size=32, verbose=0)
    model.save(tmp_path / "model.keras")
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, image in enumerate(pictures):
        Image.fromarray(image).save(folder / f"{index}.png")
    out = tmp_path / "out"
    arguments = (
        f"--model={tmp_path / 'model.keras'}",
        f"--out={out}",
        f"--calibration=folder:{folder}",
        f"--precision={','.join(PRECISIONS)}",
    )
    assert export(*arguments) == 0
    artefacts = json.loads((out / "export.json").read_text())["artefacts"]
    files = {f"model_{name}.tflite" for name in PRECISIONS}
    assert set(artefacts) == {"saved_model/1", *files}
    # The pictures of the proof are not those of the calibration.
    origins = {entry["pictures"]["origin"] for entry in artefacts.values()}
    assert origins == {"the calibration folder's others"}
