"""What the tests of the weights share: tiny models, and weights that show mistakes."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_convnext import models
from tests.checks import tiny_variant

# Beside this file, where other interpreters import it too; a folder of tests is no
# package under pytest's importlib mode.
_SPEC = importlib.util.spec_from_file_location(
    "seeded_weights", Path(__file__).with_name("seeded_weights.py")
)
_MODULE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)
seeded = _MODULE.seeded


def fill(model: keras.Model) -> keras.Model:
    """Gives every variable of a model its seeded numbers."""
    for variable in model.weights:
        variable.assign(seeded(variable.path, tuple(variable.shape)))
    return model


def image(size_px: int, channels: int = 3) -> np.ndarray:
    """Returns one image `(1, size_px, size_px, channels)` in 0..255."""
    rng = np.random.default_rng(7)
    shape = (1, size_px, size_px, channels)
    return rng.uniform(0.0, 255.0, shape).astype(np.float32)


@pytest.fixture(scope="session")
def mini() -> Callable[..., keras.Model]:
    """Builds a variant's model with few and narrow blocks, logits for outputs."""

    def build(
        name: str = "convnext_tiny",
        shape: dict[str, Any] | None = None,
        **arguments: Any,
    ) -> keras.Model:
        variant = tiny_variant(name, **(shape or {}))
        defaults = {
            "input_shape": (32, 32, 3),
            "classes": 10,
            "classifier_activation": None,
            "seed": 0,
        }
        if not arguments.get("include_top", True):
            del defaults["classes"], defaults["classifier_activation"]
        return models.build(variant, **{**defaults, **arguments})

    return build


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of the cache of a person who runs the tests."""
    monkeypatch.setenv("KERAS_CONVNEXT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session", name="fill")
def _fill() -> Callable[[keras.Model], keras.Model]:
    return fill


@pytest.fixture(scope="session", name="seeded")
def _seeded() -> Callable[[str, tuple[int, ...]], np.ndarray]:
    return seeded


@pytest.fixture(scope="session", name="image")
def _image() -> Callable[..., np.ndarray]:
    return image
