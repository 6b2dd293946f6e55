"""A real checkpoint against published logits. Needs the internet; never run by make.

    python -m pytest -m network tests/keras_convnext/segmentation

ADE20K_SAMPLES names a folder with ADE20K's ADE_val_00000001.jpg, where it does not lie
in ../shared. Without the image, or without a network, the test is skipped and says so.
It had no network to run on when it was written.
"""

import os
import socket
from pathlib import Path

import numpy as np
import pytest

import keras_convnext
from keras_convnext.weights import DownloadError

pytestmark = pytest.mark.network
SAMPLES = Path(
    os.environ.get(
        "ADE20K_SAMPLES",
        Path(__file__).parents[3]
        / "shared/data/dense/ade20k_samples/images/validation",
    )
)
# Source: transformers' tests/models/upernet/test_modeling_upernet.py, for
# openmmlab/upernet-convnext-tiny: class 0, the first rows and columns.
PUBLISHED = [
    [-8.8110, -8.8110, -8.6521],
    [-8.8110, -8.8110, -8.6521],
    [-8.7746, -8.7746, -8.6130],
]
# Theirs is 1e-4 in their own arithmetic. Ours was within 2e-5 of logits up to 40 or so
# with random weights.
TOLERANCE = 1e-3


def test_the_first_logits_are_those_that_hugging_face_published():
    image = SAMPLES / "ADE_val_00000001.jpg"
    if not image.exists():
        pytest.skip(f"{image} is not here; ADE20K_SAMPLES may name its folder")
    pillow = pytest.importorskip("PIL.Image")
    try:
        model = keras_convnext.create(
            "upernet_convnext_tiny.hf_ade20k", auxiliary_head=False
        )
    except DownloadError as error:
        try:
            socket.create_connection(("huggingface.co", 443), 10).close()
        except OSError:
            pytest.skip(f"there is no network: {error}")
        raise
    # Their processor squeezes images to a square, with Pillow's antialiasing.
    squeezed = pillow.open(image).convert("RGB").resize((512, 512), pillow.BILINEAR)
    logits = model.predict(np.asarray(squeezed, "float32")[None], verbose=0)
    assert logits.shape == (1, 512, 512, 150)
    np.testing.assert_allclose(logits[0, :3, :3, 0], PUBLISHED, atol=TOLERANCE)
