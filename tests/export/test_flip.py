"""Files that answer with the mean over an image and its mirror image."""

import json

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

import keras_convnext
from export import main as command
from tests.checks import tiny_upernet


def export(*arguments):
    return command.main(["export", *map(str, arguments)])


@pytest.fixture(scope="module")
def out(workdir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("flip") / "out"
    assert export(f"--model={workdir}", f"--out={folder}", "--flip") == 0
    return folder


@pytest.fixture(scope="module")
def images():
    """Bright on the left: the mirror image is another image."""
    ramp = np.linspace(255, 0, 32, dtype=np.float32)[None, None, :, None]
    noise = np.random.default_rng(3).uniform(0, 1, (4, 32, 32, 3))
    return (ramp * noise).astype(np.float32)


@pytest.fixture(scope="module")
def expected(workdir, images):
    """Keras' own answers, and their mean with those to the mirror images."""
    model = keras.models.load_model(workdir / "model.keras")
    plain, mirrored = (
        model.predict(each, verbose=0) for each in (images, images[:, :, ::-1])
    )
    assert np.abs(plain - mirrored).max() > 1e-3
    return plain, (plain + mirrored) / 2


@pytest.mark.slow
def test_every_file_answers_with_keras_mean(out, images, expected):
    _, mean = expected
    loaded = keras_convnext.load(out / "saved_model" / "1")
    np.testing.assert_allclose(loaded.probabilities(images), mean, atol=1e-5)
    interpreter = Interpreter(str(out / "model_float32.tflite"))
    interpreter.allocate_tensors()
    [taken], [given] = interpreter.get_input_details(), interpreter.get_output_details()
    for image, row in zip(images, mean, strict=True):
        interpreter.set_tensor(taken["index"], image[None])
        interpreter.invoke()
        answer = interpreter.get_tensor(given["index"])
        assert answer.shape == (1, len(row))
        np.testing.assert_allclose(answer[0], row, atol=1e-5)


@pytest.mark.slow
def test_the_file_has_its_weights_once(out, workdir, tmp_path):
    assert export(f"--model={workdir}", f"--out={tmp_path}", "--format=tflite") == 0
    plain, flipped = (
        (folder / "model_float32.tflite").stat().st_size for folder in (tmp_path, out)
    )
    # A few operators more, and no second copy of 1.4 MB of weights.
    assert flipped < plain + 10_000


@pytest.mark.slow
def test_what_is_left_says_so(out):
    assert json.loads((out / "export.json").read_text())["flip"] is True
    assert (
        "the mean over the image and its mirror image"
        in (out / "report.html").read_text()
    )


def test_a_model_whose_answers_lie_in_the_image_is_refused(tmp_path, capsys):
    tiny_upernet(2).save(tmp_path / "model.keras")
    for name in ("labels.txt", "classes.txt"):
        (tmp_path / name).write_text("a\nb\n")
    for part in ("images", "annotations"):
        (tmp_path / part).mkdir()
        Image.new("L", (32, 32)).save(tmp_path / part / "a.png")
    flags = [f"--model={tmp_path / 'model.keras'}", f"--out={tmp_path / 'out'}"]
    assert export(*flags, "--flip", f"--images=masks:{tmp_path}") == 2
    assert "--flip is not for" in capsys.readouterr().err.splitlines()[-1]
