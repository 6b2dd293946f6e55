"""An exported SavedModel in a program of plain C: no Python, no Keras, same answers."""

import io
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

from export.convert import saved_model
from export.model import loaded_model
from export.model.forward import Network, with_features
from keras_convnext.folding import fold
from keras_convnext.image import decode, evaluation_view

PROGRAM = pathlib.Path(__file__).parent / "c" / "run_saved_model.c"
LIBRARIES = ("libtensorflow_cc.so.2", "libtensorflow_framework.so.2")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler"),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    installed = pathlib.Path(tf.sysconfig.get_lib())
    if not all((installed / name).is_file() for name in LIBRARIES):
        pytest.skip(f"this TensorFlow comes without {' and '.join(LIBRARIES)}")
    built = tmp_path_factory.mktemp("c") / "run_saved_model"
    subprocess.run(
        [
            *("cc", "-std=c11", "-O1", "-Wall", "-Werror", PROGRAM, "-o", built),
            *(f"-isystem{tf.sysconfig.get_include()}", f"-L{installed}"),
            *(f"-l:{name}" for name in LIBRARIES),
            f"-Wl,-rpath,{installed}",
        ],
        check=True,
    )
    return built


@pytest.fixture(scope="module")
def loaded(workdir):
    return loaded_model.load(workdir / "model.keras")


@pytest.fixture(scope="module")
def folder(loaded, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved_model") / "1"
    network = Network(
        loaded.model, loaded.preprocessing, fold(with_features(loaded.model))
    )
    saved_model.write(loaded, network, folder)
    return folder


@pytest.fixture(scope="module")
def signatures(folder):
    """What the file itself says of each signature: names of its tensors."""
    stored = saved_model_pb2.SavedModel()
    stored.ParseFromString((folder / "saved_model.pb").read_bytes())
    return {
        name: (
            next(iter(signature.inputs.values())).name,
            {key: value.name for key, value in signature.outputs.items()},
        )
        for name, signature in stored.meta_graphs[0].signature_def.items()
        # What initializes the model is listed among the signatures.
        if signature.inputs
    }


@pytest.fixture
def ask(program, folder, signatures, tmp_path):
    def ask(signature, kind, dimensions, contents):
        given, outputs = signatures[signature]
        file = tmp_path / "input"
        file.write_bytes(contents)
        done = subprocess.run(
            [program, folder, given, kind, dimensions, file, *outputs.values()],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr[-1000:]
        answers = {}
        for name, line in zip(outputs, done.stdout.splitlines(), strict=True):
            described, *values = line.split("\t")
            kind, count = described.split()
            assert len(values) == int(count)
            answers[name] = values if kind == "string" else np.array(values, np.float32)
        return answers

    return ask


@pytest.fixture(scope="module")
def view(loaded, photographs):
    return evaluation_view(decode(photographs[0]), loaded.preprocessing).numpy()


@pytest.fixture(scope="module")
def expected(tiny_model, view):
    return tiny_model.predict(view[None], verbose=0)[0]


# The same kernels, another process: rounding of threads' shares alone.
TOLERANCE = 1e-5


def test_tensors_from_c(ask, view, expected):
    answers = ask("tensors", "float", "1x32x32x3", view.tobytes())
    np.testing.assert_allclose(answers["probabilities"], expected, atol=TOLERANCE)


def test_pixels_from_c(ask, photographs, expected):
    pixels = np.asarray(Image.open(io.BytesIO(photographs[0])).convert("RGB"))
    dimensions = "x".join(map(str, (1, *pixels.shape)))
    answers = ask("images", "uint8", dimensions, pixels.tobytes())
    np.testing.assert_allclose(answers["probabilities"], expected, atol=TOLERANCE)


def test_encoded_images_from_c(ask, photographs, expected, loaded):
    answers = ask("serving_default", "string", "1", photographs[0])
    order = np.argsort(-expected)[:5]
    assert answers["classes"] == [loaded.labels[index] for index in order]
    np.testing.assert_allclose(answers["scores"], expected[order], atol=TOLERANCE)
    assert answers["status"] == [""]


def test_a_broken_image_from_c_has_its_status(ask):
    answers = ask("serving_default", "string", "1", b"no image")
    assert answers["status"] == ["not a JPEG, PNG, GIF, BMP or WebP image"]
    assert answers["classes"] == [""] * 5


def test_features_from_c(ask, view, tiny_model, expected):
    features = ask("features", "float", "1x32x32x3", view.tobytes())["features"]
    kernel, bias = tiny_model.get_layer("head_dense").get_weights()
    shares = np.exp(features @ kernel + bias)
    np.testing.assert_allclose(shares / shares.sum(), expected, atol=TOLERANCE)
