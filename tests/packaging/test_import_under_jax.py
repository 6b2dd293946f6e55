"""The library is multi-backend: TensorFlow is imported only where it is the backend."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Keras imports what its backend needs; the question is what the library adds to that.
PROGRAM = """
import sys
import keras
assert keras.backend.backend() == "jax", keras.backend.backend()
before = set(sys.modules)
import keras_convnext
added = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(added & {"tensorflow", "tensorflow_datasets", "torch", "absl"}))
"""


# A fast test of tests/training/jax_engine imports it where there is no TensorFlow.
@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="jax is not installed"
)
def test_importing_the_library_under_jax_imports_no_tensorflow() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.strip() == "[]"
