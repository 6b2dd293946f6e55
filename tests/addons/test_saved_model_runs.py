"""An exported SavedModel beside tensorflow-addons: TensorFlow 2.15, no Keras 3."""

import io
import subprocess

import numpy as np
import pytest
from PIL import Image

import keras_convnext
from export.convert import saved_model
from export.model.forward import Network, with_features
from export.model.loaded_model import Source
from export.verify import isolated_runner
from keras_convnext.image import decode, evaluation_view
from keras_convnext.preprocessing import Preprocessing

SIZE_PX = 32
LABELS = ("cat", "dog", "hen", "owl", "pig", "yak")
PROGRAM = """
import runpy, sys
import tensorflow_addons
import tensorflow
assert tensorflow.__version__.startswith("2.15."), tensorflow.__version__
runpy.run_path(sys.argv[1], run_name="rerun")["main"](sys.argv[1:])
"""
# Other kernels of the same products: a few roundings of float32 a layer.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def model():
    generator = np.random.default_rng(0)
    model = keras_convnext.ConvNeXtAtto(
        weights=None, input_shape=(SIZE_PX, SIZE_PX, 3), classes=len(LABELS)
    )
    for variable in model.weights:
        # At its initial value layer scale hides the blocks.
        if variable.name == "gamma":
            variable.assign(generator.uniform(0.1, 1.0, variable.shape))
        elif variable.name in ("beta", "bias"):
            variable.assign(generator.normal(0, 0.1, variable.shape))
    return model


def files():
    """Encoded images of several sizes and formats that TensorFlow 2.15 decodes."""
    generator = np.random.default_rng(1)
    for height, width, kind in ((40, 56, "PNG"), (64, 48, "JPEG"), (32, 32, "BMP")):
        coarse = Image.fromarray(generator.integers(0, 256, (4, 5, 3), np.uint8))
        file = io.BytesIO()
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(file, kind)
        yield file.getvalue()


@pytest.mark.slow
def test_every_signature_answers_in_tensorflow_2_15(
    model, addons_python, addons_environment, tmp_path
):
    preprocessing = Preprocessing(size_px=SIZE_PX, crop_fraction=0.875)
    folded = keras_convnext.fold(with_features(model))
    network = Network(model, preprocessing, folded)
    source = Source(
        name="model.keras",
        model=model,
        meaning=network.meaning,
        labels=LABELS,
        preprocessing=preprocessing,
        normalizes=True,
    )
    saved_model.write(source, network, tmp_path / "1")
    contents = list(files())
    pixels = [decode(content).numpy() for content in contents]
    views = np.stack([evaluation_view(one, preprocessing).numpy() for one in pixels])
    expected = model.predict(views, verbose=0)
    arrays = {"tensors": views}
    for index, (content, image) in enumerate(zip(contents, pixels, strict=True)):
        arrays[f"files_{index}"] = np.frombuffer(content, np.uint8)
        arrays[f"images_{index}"] = image
    np.savez(tmp_path / "questions.npz", **arrays)
    done = subprocess.run(
        [
            *(
                addons_python,
                "-P",
                "-c",
                PROGRAM,
                isolated_runner.__file__,
                tmp_path / "1",
            ),
            *(tmp_path / "questions.npz", tmp_path / "answers.npz"),
        ],
        env=addons_environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answers = np.load(tmp_path / "answers.npz")
    for name in ("answers", "batched", "images"):
        np.testing.assert_allclose(answers[name], expected, atol=TOLERANCE)
    order = np.argsort(-expected)[:, :5]
    best = np.take_along_axis(expected, order, axis=1)
    np.testing.assert_allclose(answers["bytes_scores"], best, atol=TOLERANCE)
    told = [[name.decode() for name in row] for row in answers["bytes_classes"]]
    assert told == [[LABELS[number] for number in row] for row in order]
    assert not any(answers["bytes_status"])
    assert answers["broken_status"]
    kernel, bias = model.get_layer("head_dense").get_weights()
    shares = np.exp(answers["features"] @ kernel + bias)
    shares /= shares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, expected, atol=TOLERANCE)
