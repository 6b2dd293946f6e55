"""Files that keras.applications writes, in Keras 2 and in Keras 3, load and agree.

The reference is keras.applications' own ConvNeXtTiny in the same process. What Keras
2.15 writes is known from keras2_layout.json (make_keras2_layout.py recorded it).
"""

import json
import os
import re
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

import keras_convnext
from keras_convnext import models, weights
from keras_convnext.variants import find_variant

HERE = Path(__file__).parent
LAYOUT = json.loads((HERE / "keras2_layout.json").read_text())
SIZE_PX = 32

# float32 sums of up to 3072 terms in another order.
TOLERANCE = 1e-4


def keras2_name(variable: keras.Variable) -> str:
    """Returns "<layer>/<variable>", LayerScale's variable being called gamma."""
    return re.sub(r"variable(_\d+)?$", "gamma", "/".join(variable.path.split("/")[-2:]))


@pytest.fixture(scope="module")
def reference(seeded: Callable) -> keras.Model:
    model = keras.applications.ConvNeXtTiny(
        weights=None, input_shape=(SIZE_PX, SIZE_PX, 3), classifier_activation=None
    )
    for variable in model.weights:
        variable.assign(seeded(keras2_name(variable), tuple(variable.shape)))
    return model


@pytest.fixture(scope="module")
def expected(reference: keras.Model, image: Callable) -> np.ndarray:
    return outputs(reference, image(SIZE_PX))


@pytest.fixture(scope="module")
def with_top() -> keras.Model:
    return tiny(classifier_activation=None)


@pytest.fixture(scope="module")
def without_top() -> keras.Model:
    return tiny(include_top=False, pooling="avg")


@pytest.fixture(scope="module")
def top_file(tmp_path_factory: pytest.TempPathFactory, seeded: Callable) -> Path:
    path = tmp_path_factory.mktemp("keras2") / "top.h5"
    return write_as_keras2(path, "top", seeded)


def tiny(**arguments: object) -> keras.Model:
    return keras_convnext.ConvNeXtTiny(
        **{"weights": None, "input_shape": (SIZE_PX, SIZE_PX, 3), **arguments}
    )


def outputs(model: keras.Model, inputs: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(inputs))


def empty(model: keras.Model) -> keras.Model:
    """Sets everything to zero, so that what an earlier test loaded is gone."""
    for variable in model.weights:
        variable.assign(np.zeros(variable.shape, np.float32))
    return model


def write_as_keras2(path: Path, which: str, value_of: Callable) -> Path:
    """Lays a file out as Keras 2.15 does, with `value_of(name, shape)` for numbers."""
    layout = LAYOUT[which]
    with h5py.File(path, "w") as file:
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.15.0"
        file.attrs["layer_names"] = [n.encode() for n in layout["layer_names"]]
        for layer in layout["layer_names"]:
            group = file.create_group(layer)
            tensors = layout["weights"].get(layer, {})
            group.attrs["weight_names"] = [name.encode() for name in tensors]
            for name, shape in tensors.items():
                local = name.removesuffix(":0")
                group.create_dataset(name, data=value_of(local, tuple(shape)))
        top = file.create_group("top_level_model_weights")
        top.attrs["weight_names"] = []
    return path


@pytest.mark.slow
def test_a_file_of_keras_2_gives_the_logits_of_keras_applications(
    with_top: keras.Model, top_file: Path, expected: np.ndarray, image: Callable
) -> None:
    weights.load(empty(with_top), top_file)
    np.testing.assert_allclose(
        outputs(with_top, image(SIZE_PX)), expected, rtol=TOLERANCE, atol=TOLERANCE
    )


@pytest.mark.parametrize("ending", [".h5", ".weights.h5", ".keras"])
def test_a_file_of_keras_3_gives_the_logits_of_keras_applications(
    ending: str,
    tmp_path: Path,
    reference: keras.Model,
    with_top: keras.Model,
    expected: np.ndarray,
    image: Callable,
) -> None:
    path = tmp_path / f"tiny{ending}"
    save = reference.save_weights if ending == ".weights.h5" else reference.save
    with warnings.catch_warnings():
        # Keras thinks .h5 old-fashioned; people have such files all the same.
        warnings.simplefilter("ignore")
        save(path)
    weights.load(empty(with_top), path)
    np.testing.assert_allclose(
        outputs(with_top, image(SIZE_PX)), expected, rtol=TOLERANCE, atol=TOLERANCE
    )


def test_the_file_with_the_top_brings_its_trained_norm_to_a_model_without_it(
    without_top: keras.Model, top_file: Path, seeded: Callable
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = weights.load(empty(without_top), top_file)
    np.testing.assert_array_equal(
        without_top.get_layer("head_norm").gamma,
        seeded("convnext_tiny_head_layernorm/gamma", (768,)),
    )
    assert sorted(report.dropped) == [
        "convnext_tiny_head_dense/convnext_tiny_head_dense/bias:0",
        "convnext_tiny_head_dense/convnext_tiny_head_dense/kernel:0",
    ]


@pytest.mark.parametrize("is_trained", [True, False])
def test_a_file_without_the_top_says_so_if_its_norm_was_never_trained(
    is_trained: bool, without_top: keras.Model, tmp_path: Path, seeded: Callable
) -> None:
    def hosted(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name.startswith("layer_normalization"):
            return np.full(shape, name.endswith("gamma") or is_trained, np.float32)
        return np.zeros(shape, np.float32)

    path = write_as_keras2(tmp_path / "notop.h5", "notop", hosted)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        report = weights.load(without_top, path)
    said = [str(w.message) for w in caught if w.category is UserWarning]
    assert len(said) == (0 if is_trained else 1)
    assert is_trained or "last norm was never trained" in said[0]
    assert report.notes == tuple(said)


def test_another_number_of_classes_drops_the_head_alone_and_says_so(
    top_file: Path, seeded: Callable
) -> None:
    with pytest.warns(UserWarning, match="1000 classes and the model has 5"):
        model = tiny(classes=5, weights=top_file)
    # Kernels begin as a normal of deviation 0.02; the file's are wider.
    assert np.std(model.get_layer("head_dense").kernel) == pytest.approx(0.02, rel=0.05)
    np.testing.assert_array_equal(model.get_layer("head_dense").bias, np.zeros(5))
    np.testing.assert_array_equal(
        model.get_layer("stage3_block2_expand").kernel,
        seeded("convnext_tiny_stage_3_block_2_pointwise_conv_1/kernel", (768, 3072)),
    )


def test_weights_of_another_size_are_refused_naming_every_tensor_that_is_wrong(
    top_file: Path,
) -> None:
    shape = replace(find_variant("convnext_small"), depths=(3, 3, 11, 3))
    model = models.build(shape, input_shape=(SIZE_PX, SIZE_PX, 3), seed=0)
    before = [keras.ops.convert_to_numpy(v) for v in model.weights]
    with pytest.raises(weights.WeightsMismatchError) as caught:
        weights.load(model, top_file)
    message = str(caught.value)
    # Two blocks more than the file has, of 9 tensors each.
    assert "missing from the file (18):" in message
    for block in (9, 10):
        assert f"stage2_block{block}_dwconv/kernel (7, 7, 384, 1)" in message
    for variable, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)


def test_what_is_written_for_keras_applications_loads_there(
    tmp_path: Path,
    reference: keras.Model,
    with_top: keras.Model,
    top_file: Path,
    expected: np.ndarray,
    image: Callable,
) -> None:
    path = tmp_path / "back.h5"
    weights.load(empty(with_top), top_file)
    weights.save_weights_as(with_top, path, dialect="keras_applications")
    empty(reference).load_weights(path)
    np.testing.assert_allclose(
        outputs(reference, image(SIZE_PX)), expected, rtol=TOLERANCE, atol=TOLERANCE
    )


def keras2_python() -> str:
    """Returns the interpreter that has Keras 2.15, or skips the test."""
    python = os.environ.get("KERAS2_PYTHON")
    if not python:
        pytest.skip("KERAS2_PYTHON does not name a Python with tensorflow-cpu 2.15.1")
    return python


# Arguments: weights, images, where the logits go.
IN_KERAS_2 = f"""
import sys, keras, numpy
assert keras.__version__.startswith("2.15"), keras.__version__
model = keras.applications.ConvNeXtTiny(
    weights=None, input_shape=({SIZE_PX}, {SIZE_PX}, 3), classifier_activation=None
)
model.load_weights(sys.argv[1])
numpy.save(sys.argv[3], model(numpy.load(sys.argv[2])))
"""


@pytest.mark.slow
def test_keras_2_loads_what_is_written_for_keras_applications(
    tmp_path: Path,
    with_top: keras.Model,
    top_file: Path,
    expected: np.ndarray,
    image: Callable,
) -> None:
    python = keras2_python()
    weights.load(empty(with_top), top_file)
    path = tmp_path / "back.h5"
    weights.save_weights_as(with_top, path, dialect="keras_applications")
    files = [path, tmp_path / "image.npy", tmp_path / "logits.npy"]
    np.save(files[1], image(SIZE_PX))
    subprocess.run(
        [python, "-c", IN_KERAS_2, *files],
        check=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    np.testing.assert_allclose(
        np.load(files[2]), expected, rtol=TOLERANCE, atol=TOLERANCE
    )


@pytest.mark.slow
def test_the_real_writer_of_keras_2_still_writes_what_was_recorded(
    tmp_path: Path, with_top: keras.Model, expected: np.ndarray, image: Callable
) -> None:
    python = keras2_python()
    subprocess.run(
        [
            python,
            HERE / "make_keras2_layout.py",
            tmp_path / "l.json",
            tmp_path / "t.h5",
        ],
        check=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert json.loads((tmp_path / "l.json").read_text()) == LAYOUT
    weights.load(empty(with_top), tmp_path / "t.h5")
    np.testing.assert_allclose(
        outputs(with_top, image(SIZE_PX)), expected, rtol=TOLERANCE, atol=TOLERANCE
    )
