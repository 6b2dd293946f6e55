"""Files of integers alone in TFLite Micro: the kernels that microcontrollers have."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.convert import tflite
from export.convert.precisions import PRECISIONS
from export.model.forward import Network, with_features
from export.verify import isolated_runner
from keras_convnext.folding import fold
from keras_convnext.models import build
from keras_convnext.preprocessing import Preprocessing
from tests.checks import tiny_variant
from tests.export.conftest import CLASSES, SIZE_PX, randomized, smooth_images

pytestmark = pytest.mark.slow
micro = pytest.importorskip("tflite_micro", reason="tflite-micro is not installed")
ROOT = Path(__file__).resolve().parents[3]
ARENA_BYTES = 2_000_000


@pytest.fixture(scope="module")
def images():
    return smooth_images(60)


@pytest.fixture(scope="module")
def contents(network, exact, images):
    return tflite.convert(network, PRECISIONS["integer"], images[:40], exact=exact)


def ask(contents, images):
    """What TFLite Micro answers, in the numbers that its steps stand for."""
    interpreter = micro.runtime.Interpreter.from_bytes(contents, arena_size=ARENA_BYTES)
    made = interpreter.get_output_details(0)["quantization_parameters"]
    found = []
    for image in images:
        interpreter.set_input(np.int8(image[None] - 128), 0)
        interpreter.invoke()
        found.append(interpreter.get_output(0) * made["scales"][0])
    return np.concatenate(found)


def test_a_file_of_integers_answers_as_keras_and_as_litert(
    contents, images, tiny_model, tmp_path
):
    found = ask(contents, images[40:])
    file = tmp_path / "model.tflite"
    file.write_bytes(contents)
    asked = isolated_runner.run_tflite(str(file), {"tensors": images[40:]})
    # The two round halves differently: a few steps of 1 / 32768.
    np.testing.assert_allclose(found, asked["answers"], atol=1e-3)
    expected = tiny_model.predict(images[40:], verbose=0)
    # Weights of 8 bits in a narrow network. Images' answers lie further apart.
    np.testing.assert_allclose(found, expected, atol=0.02)
    assert np.ptp(expected, axis=0).max() > 0.06


def test_global_response_normalization_has_a_form_too(images):
    model = build(
        tiny_variant("convnextv2_atto"),
        weights=None,
        input_shape=(SIZE_PX, SIZE_PX, 3),
        classes=len(CLASSES),
    )
    randomized(model)
    preprocessing = Preprocessing(size_px=SIZE_PX, crop_fraction=1.0)
    network = Network(model, preprocessing, fold(with_features(model)))
    contents = tflite.convert(network, PRECISIONS["integer"], images[:40], exact=b"")
    expected = model.predict(images[40:], verbose=0)
    np.testing.assert_allclose(ask(contents, images[40:]), expected, atol=0.03)
    assert np.ptp(expected, axis=0).max() > 0.09


def test_it_has_none_of_the_operators_of_other_files(exact):
    with pytest.raises(RuntimeError):
        ask(exact, smooth_images(1))


def test_the_program_of_the_page_names_the_class(
    contents, images, tiny_model, tmp_path
):
    page = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    (program,) = (
        text
        for text in re.findall(r"```python\n(.*?)```", page, re.DOTALL)
        if "tflite_micro" in text
    )
    out = tmp_path / "runs" / "demo" / "export"
    out.mkdir(parents=True)
    (out / "model_integer.tflite").write_bytes(contents)
    (out / "labels.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    seen = {"size_px": SIZE_PX, "crop_fraction": 1.0}
    (out / "preprocessing.json").write_text(json.dumps(seen))
    expected = tiny_model.predict(images, verbose=0)
    clearest = np.argmax(np.diff(np.sort(expected)[:, -2:])[:, 0])
    # As large as the file takes it, and without loss.
    image = Image.fromarray(np.uint8(images[clearest]))
    image.save(tmp_path / "photo.jpg", format="PNG")
    asked = [sys.executable, "-P", "-c", program]
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(CLASSES[expected[clearest].argmax()])
