"""From a name to a model: fetched once, built as the record says, then offline."""

import functools
import http.server
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_convnext
from keras_convnext import weights
from keras_convnext.weights.registry import records

SIZE_PX = 32
SMALL = {"input_shape": (SIZE_PX, SIZE_PX, 3)}
V2_ATTO = "convnextv2_atto.meta_1k_224_ema"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[http.server.ThreadingHTTPServer]:
    """Serves the folder `tmp_path / "published"`."""
    (tmp_path / "published").mkdir()
    handler = functools.partial(Quiet, directory=tmp_path / "published")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_name_is_fetched_once_and_its_license_said_once(
    server: http.server.ThreadingHTTPServer,
    home: Path,
    tmp_path: Path,
    fill: Callable,
    image: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record = weights.find(V2_ATTO)
    (file,) = record.files
    original = fill(keras_convnext.ConvNeXtV2Atto(weights=None, **SMALL))
    written = tmp_path / "published" / "atto.safetensors"
    weights.save_weights_as(original, written, dialect="meta")
    written.rename(written.with_name(file))
    url = f"http://127.0.0.1:{server.server_address[1]}/{file}"
    monkeypatch.setitem(records(), V2_ATTO, replace(record, url=url))

    with pytest.warns(UserWarning, match="cc-by-nc-4.0: not for commercial use"):
        model = keras_convnext.create(V2_ATTO, **SMALL)
    assert (home / "meta" / file).exists()
    expected = keras.ops.convert_to_numpy(original(image(SIZE_PX)))
    outputs = keras.ops.convert_to_numpy(model(image(SIZE_PX)))
    np.testing.assert_array_equal(outputs, expected)

    (tmp_path / "published" / file).unlink()  # as if there were no network
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = keras_convnext.ConvNeXtV2Atto(weights="meta_1k_224_ema", **SMALL)
    outputs = keras.ops.convert_to_numpy(again(image(SIZE_PX)))
    np.testing.assert_array_equal(outputs, expected)


def test_a_name_brings_its_input_size_head_and_preprocessing() -> None:
    model = keras_convnext.create(
        "convnextv2_nano.fcmae_ft_in22k_in1k_384", weights=None
    )
    assert model.input_shape == (None, 384, 384, 3)
    assert model.output_shape == (None, 1000)
    assert model.get_layer("head_dense").activation is keras.activations.softmax
    zepto = keras_convnext.create(
        "convnext_zepto_rms.ra4_e3600_r224_in1k", weights=None
    )
    mean = np.ravel(zepto.get_layer("input_normalization").mean)
    np.testing.assert_allclose(mean, [127.5] * 3)  # timm: mean 0.5


@pytest.mark.parametrize(
    ("name", "width", "words"),
    [
        ("convnextv2_atto.fcmae", 320, "its features"),
        ("convnext_tiny.dinov3_lvd1689m", 768, "its features"),
        ("convnext_base.clip_laion2b", 640, "an embedding of 640 numbers"),
    ],
)
def test_a_checkpoint_without_classes_builds_without_them_and_says_so(
    name: str, width: int, words: str
) -> None:
    with pytest.warns(UserWarning, match=words) as caught:
        model = keras_convnext.create(name, weights=None)
    assert model.output_shape == (None, width)
    assert [warning.filename for warning in caught] == [__file__]


def test_classes_of_ones_own_take_the_place_of_what_a_checkpoint_lacks() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = keras_convnext.create(
            "convnextv2_atto.fcmae", weights=None, include_top=True, classes=7, **SMALL
        )
    assert model.output_shape == (None, 7)
    assert model.get_layer("head_dense").activation is keras.activations.softmax


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: keras_convnext.create(3), ValueError, "got int"),
        (lambda: keras_convnext.describe(None), ValueError, "got NoneType"),
        (
            lambda: keras_convnext.create("convnext_atto", clases=3),
            TypeError,
            "'clases'; the closest of the builders' arguments are classes",
        ),
        (
            lambda: weights.load(keras_convnext.create("convnext_atto"), None),
            ValueError,
            "got NoneType",
        ),
        (
            lambda: weights.load(keras_convnext.create("convnext_atto"), "imagenet"),
            ValueError,
            "give the whole name",
        ),
        (
            lambda: weights.load(keras_convnext.create("convnext_atto"), "d2_in1k"),
            ValueError,
            "give the whole name",
        ),
    ],
)
def test_a_mistake_is_one_clear_line(
    call: Callable, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_card_has_its_license_in_the_first_line_below_the_name() -> None:
    for name in ("convnext_tiny", "convnextv2_tiny", "convnextv2_tiny.fcmae"):
        assert keras_convnext.describe(name).splitlines()[1].split()[0] in (
            "license",
            "licenses",
        )
    assert "cc-by-nc-4.0" in keras_convnext.describe("convnextv2_tiny").splitlines()[1]


def test_what_the_weights_lack_begins_as_it_would_without_them(tmp_path: Path) -> None:
    """Kernels are drawn after loading, and only where nothing was loaded."""
    arguments = {"classes": 7, "seed": 5, **SMALL}
    fresh = keras_convnext.ConvNeXtV2Atto(weights=None, **arguments)
    path = tmp_path / "a.safetensors"
    weights.save_weights_as(keras_convnext.ConvNeXtV2Atto(weights=None, **SMALL), path)
    with pytest.warns(UserWarning, match="stays as it was built"):
        model = keras_convnext.ConvNeXtV2Atto(weights=path, **arguments)
    head, expected = (each.get_layer("head_dense") for each in (model, fresh))
    np.testing.assert_array_equal(head.kernel, expected.kernel)
    assert np.std(head.kernel) > 0
    # The first layer is the input, which Keras numbers.
    for layer, other in zip(model.layers[1:], fresh.layers[1:], strict=True):
        assert layer.get_config() == other.get_config()


@pytest.mark.parametrize("remat", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_copy_of_a_model_with_weights_is_drawn_anew(
    remat: bool, tmp_path: Path
) -> None:
    path = tmp_path / "a.safetensors"
    weights.save_weights_as(keras_convnext.ConvNeXtAtto(weights=None, **SMALL), path)
    model = keras_convnext.ConvNeXtAtto(weights=path, remat=remat, **SMALL)
    for kernel in keras.models.clone_model(model).weights:
        if kernel.name == "kernel":
            assert np.std(kernel) > 0, kernel.path
