"""What tensorflow-addons did, and the interpreter that can run it again."""

import os
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.fixture(scope="session")
def recorded():
    """Arrays that `make_recorded.py` wrote."""
    with np.load(HERE / "recorded.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def addons_python():
    """The interpreter with TensorFlow 2.15 and tensorflow-addons."""
    python = ROOT / os.environ.get("ADDONS_PYTHON", ".venv-addons/bin/python")
    if not python.exists():
        pytest.skip("no environment with tensorflow-addons; `make addons` makes it")
    return str(python)


@pytest.fixture(scope="session")
def addons_environment():
    """Environment variables for that interpreter: quiet, and on the processor."""
    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
