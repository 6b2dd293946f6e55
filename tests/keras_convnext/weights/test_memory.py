"""Loading takes little more memory than the model has already."""

import subprocess
import sys
from pathlib import Path

import pytest

# Runs by itself, so that the peak is this load's and nobody else's.
PROGRAM = """
import os, resource, sys
import numpy as np, safetensors.numpy
import keras_convnext
from keras_convnext import weights

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

path = sys.argv[1]
model = keras_convnext.ConvNeXtLarge(weights=None)
if not os.path.exists(path):
    weights.save_weights_as(model, path, dialect="timm")
    sys.exit()
before = peak()
weights.load(model, path)
print(peak() - before, os.path.getsize(path))
"""


@pytest.mark.slow
def test_loading_large_takes_less_than_a_third_more_than_the_files_size(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "large.safetensors")]
    subprocess.run(command, check=True)
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    extra, size = map(int, run.stdout.split())
    assert size > 790_000_000
    assert extra < 1.3 * size
    print(f"{extra / size:.2f} of the file's size")
