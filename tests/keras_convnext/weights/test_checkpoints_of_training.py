"""Checkpoints as training programs leave them: settings, averages, heads, wrappers.

What stands beside the tensors is passed over and nothing of it is run; the network is
found under whatever name it has.
"""

import argparse
import collections
import datetime
import decimal
import pathlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import safetensors.numpy

from keras_convnext import weights
from keras_convnext.weights.errors import BadWeightsFileError, WeightsMismatchError
from tests.keras_convnext.weights.torch_writer import torch_save

Tensors = dict[str, np.ndarray]


class Settings:
    """As a program's own class would be: nobody here can import it."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


class Module(Settings):
    """Keeps tensors as torch's modules do."""


BESIDE = {
    "score": np.float64(81.5),
    "count": np.int64(3),
    "dtype": np.dtype("float32"),
    "namespace": argparse.Namespace(lr=1e-3, betas=(0.9, 0.999), names=["a"]),
    "own": Settings(nested=Settings(lr=1.0), table={"a": 1}),
    "date": datetime.datetime(2026, 1, 1),
    "path": pathlib.PurePosixPath("/data"),
    "sets": [{1, 2}, frozenset({3})],
    "default": collections.defaultdict(list, {"loss": [1.0]}),
    "counter": collections.Counter("aab"),
    "decimal": decimal.Decimal("1.5"),
    "complex": 1j,
    "bytes": [b"a", bytearray(b"b")],
    "keys": {None: 1, (1, 2): 3},
    "types": [dict, int, slice(1, 2), range(3)],
}


@pytest.fixture(scope="module")
def model(mini: Callable) -> keras.Model:
    return mini(classes=3)


@pytest.fixture(scope="module")
def written(mini: Callable, fill: Callable) -> keras.Model:
    """The network whose tensors the files hold."""
    return fill(mini(classes=3))


@pytest.fixture(scope="module")
def tensors(written: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Tensors:
    path = tmp_path_factory.mktemp("timm") / "a.safetensors"
    weights.save_weights_as(written, path, "timm")
    return safetensors.numpy.load_file(path)


@pytest.fixture(scope="module")
def wanted(written: keras.Model, image: Callable) -> np.ndarray:
    return np.asarray(written(image(32)))


@pytest.fixture
def answers(
    model: keras.Model, written: keras.Model, wanted: np.ndarray, image: Callable
) -> Callable:
    """Checks that a model answers as the one whose tensors were written."""

    def check(features_only: bool = False) -> None:
        if features_only:
            head = model.get_layer("head_dense")
            head.set_weights(written.get_layer("head_dense").get_weights())
        np.testing.assert_allclose(model(image(32)), wanted, rtol=1e-5, atol=1e-5)

    for variable in model.weights:
        variable.assign(np.zeros(variable.shape, variable.dtype))
    return check


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", BESIDE)
def test_what_stands_beside_the_tensors_is_passed_over(
    name: str,
    protocol: int,
    model: keras.Model,
    tensors: Tensors,
    answers: Callable,
    tmp_path: Path,
) -> None:
    content = {"epoch": 3, "state_dict": tensors, name: BESIDE[name]}
    torch_save(content, tmp_path / "a.pth", protocol)
    weights.load(model, tmp_path / "a.pth")
    answers()


def prefixed(prefix: str, tensors: Tensors) -> Tensors:
    return {f"{prefix}{name}": value for name, value in tensors.items()}


def as_module(tensors: Tensors) -> Module:
    """Returns an object as `torch.save(model)` stores it, instead of a state dict."""

    def empty() -> Module:
        return Module(_parameters={}, _buffers={}, _modules={}, training=False)

    top = empty()
    for name, value in tensors.items():
        *parts, last = name.split(".")
        inner = top
        for part in parts:
            inner = inner._modules.setdefault(part, empty())
        inner._parameters[last] = value
    return top


def spoiled(tensors: Tensors) -> Tensors:
    return {name: np.ones_like(value) for name, value in tensors.items()}


LAYOUTS: dict[str, Callable[[Tensors], Any]] = {
    "timm": lambda t: {"state_dict": t, "optimizer": {"state": {0: {}}}, "metric": 0.8},
    "timm with an average": lambda t: {"state_dict": spoiled(t), "state_dict_ema": t},
    "Meta": lambda t: {"model": t, "args": argparse.Namespace(), "scaler": {}},
    "mmengine": lambda t: {
        "meta": {"cfg": Settings(a=1)},
        "message_hub": Settings(log=collections.OrderedDict()),
        "state_dict": t,
        "ema_state_dict": {},
    },
    "Lightning": lambda t: {
        "state_dict": prefixed("model.", t),
        "hyper_parameters": Settings(lr=1.0),
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best": Settings()}},
    },
    "Lightning, another attribute": lambda t: {"state_dict": prefixed("net.", t)},
    "Lightning with a loss": lambda t: {
        "state_dict": {**prefixed("net.", t), "criterion.weight": np.ones(3)}
    },
    "DistributedDataParallel": lambda t: prefixed("module.", t),
    "torch.compile": lambda t: prefixed("_orig_mod.", t),
    "both": lambda t: {"model": prefixed("module._orig_mod.", t)},
    "AveragedModel": lambda t: {"n_averaged": np.ones(1), **prefixed("module.", t)},
    "an average under a prefix": lambda t: {
        **prefixed("model.", spoiled(t)),
        **prefixed("ema_model.module.", t),
    },
    "teacher and student": lambda t: {
        **prefixed("student.backbone.", spoiled(t)),
        **prefixed("teacher.backbone.", t),
    },
    "an average without tensors": lambda t: {"ema": {"decay": 0.9}, "state_dict": t},
    "a whole module": as_module,
    "a whole module beside notes": lambda t: {"model": as_module(t), "epoch": 3},
}


@pytest.mark.filterwarnings("ignore:What the file holds beside")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_network_is_found_in_every_layout(
    layout: str,
    model: keras.Model,
    tensors: Tensors,
    answers: Callable,
    tmp_path: Path,
) -> None:
    torch_save(LAYOUTS[layout](tensors), tmp_path / "a.ckpt")
    weights.load(model, tmp_path / "a.ckpt")
    answers()


def test_a_head_of_its_own_is_left_out_and_told(
    model: keras.Model, tensors: Tensors, answers: Callable, tmp_path: Path
) -> None:
    body = {n: v for n, v in tensors.items() if not n.startswith("head.fc")}
    own = {"head.fc.1.weight": np.ones((5, 32)), "arcface.centers": np.ones((5, 32))}
    torch_save({**body, **own}, tmp_path / "a.pth")
    with pytest.warns(UserWarning, match="was left out: head.fc.1.weight, arcface"):
        report = weights.load(model, tmp_path / "a.pth")
    assert set(report.dropped) == set(own)
    assert report.kept == ("head_dense/kernel", "head_dense/bias")
    answers(features_only=True)


def refused(model: keras.Model, content: Any, folder: Path) -> str:
    torch_save(content, folder / "a.pth")
    before = [np.asarray(each) for each in model.get_weights()]
    with pytest.raises((WeightsMismatchError, BadWeightsFileError)) as caught:
        weights.load(model, folder / "a.pth")
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    return str(caught.value)


def test_parts_inside_of_the_network_are_not_left_out(
    model: keras.Model, tensors: Tensors, tmp_path: Path
) -> None:
    name = "stages.0.blocks.0.se.fc1.weight"
    text = refused(model, {**tensors, name: np.ones((2, 8))}, tmp_path)
    assert f"not in the model (1):\n  {name}" in text


def test_two_networks_without_an_average_are_refused(
    model: keras.Model, tensors: Tensors, tmp_path: Path
) -> None:
    both = {**prefixed("left.", tensors), **prefixed("right.", tensors)}
    text = refused(model, both, tmp_path)
    assert "2 networks" in text
    assert "'left.stem.0.weight', 'right.stem.0.weight'" in text


@pytest.mark.parametrize("with_base", [True, False])
def test_what_lora_has_learnt_has_to_be_merged_first(
    with_base: bool, model: keras.Model, tensors: Tensors, tmp_path: Path
) -> None:
    place = "base_model.model.stages.0.blocks.0.mlp.fc1"
    content = {f"{place}.lora_A.weight": np.ones((4, 8))}
    if with_base:
        content |= prefixed("base_model.model.", tensors)
    assert "merge it first" in refused(model, content, tmp_path)


def test_what_was_passed_over_is_named_where_there_is_no_network(
    model: keras.Model, tmp_path: Path
) -> None:
    text = refused(model, {"args": argparse.Namespace()}, tmp_path)
    assert "argparse.Namespace, of which nothing was run" in text
