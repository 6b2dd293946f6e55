"""UPerNet's heads and losses against what mmsegmentation 1.2.2 computed."""

import re

import keras
import numpy as np
import pytest

from keras_convnext.segmentation.heads import fcn_head, upernet_head
from keras_convnext.segmentation.resizing import ResizeLike
from tests.keras_convnext.reference import openmmlab
from training.recipes import table
from training.tasks import segmentation

TENSORS = openmmlab.read("upernet_small")
# Ours on the left, mmsegmentation's on the right.
NAMES = {
    r"decode_pool(\d)_\w+": r"decode_head.psp_modules.\1.1.",
    r"decode_bottleneck_\w+": "decode_head.bottleneck.",
    r"decode_lateral(\d)_\w+": r"decode_head.lateral_convs.\1.",
    r"decode_fpn(\d)_\w+": r"decode_head.fpn_convs.\1.",
    r"decode_fuse_\w+": "decode_head.fpn_bottleneck.",
    "decode_logits": "decode_head.conv_seg.",
    "auxiliary_logits": "auxiliary_head.conv_seg.",
    r"auxiliary_\w+": "auxiliary_head.convs.0.",
}
# The four pooled sizes by their place.
PLACES = {"pool1": "pool0", "pool2": "pool1", "pool3": "pool2", "pool6": "pool3"}


def find(layer):
    for size, place in PLACES.items():
        if size in layer:
            layer = layer.replace(size, place)
            break
    pattern, name = next(each for each in NAMES.items() if re.fullmatch(each[0], layer))
    return re.sub(pattern, name, layer)


@pytest.fixture(scope="module")
def heads():
    """Both heads with the recorded weights, on maps of any size."""
    levels = [keras.Input((None, None, width)) for width in (8, 16, 24, 32)]
    logits = upernet_head(levels, 6, channels=16)
    model = keras.Model(levels, [logits, fcn_head(levels[2], 6, channels=12)])
    openmmlab.assign(model, TENSORS, find)
    return model


@pytest.mark.parametrize("size", ["even", "odd"])
def test_logits_and_losses_are_mmsegmentations(heads, size):
    recorded = {
        name.removeprefix(f"{size}/"): value
        for name, value in TENSORS.items()
        if name.startswith(f"{size}/")
    }
    logits, auxiliary = heads([recorded[f"feature{level}"] for level in range(4)])
    largest = np.abs(recorded["decode_logits"]).max()
    for found, name in ((logits, "decode_logits"), (auxiliary, "aux_logits")):
        # Float32 through ten convolutions.
        np.testing.assert_allclose(found, recorded[name], atol=1e-5 * largest)
    labels = recorded["labels"]
    whole = [ResizeLike()(each, labels[..., None]) for each in (logits, auxiliary)]
    np.testing.assert_allclose(whole[0], recorded["full_logits"], atol=1e-5 * largest)
    losses_of = segmentation.make_losses(table.RECIPES["upernet_tiny_ade20k"], None)
    losses = {name: np.mean(rows) for name, rows in losses_of(whole, labels).items()}
    main, weighted = recorded["loss_decode"], recorded["loss_aux"]
    np.testing.assert_allclose(losses["loss"], main + weighted, rtol=1e-5)
    # The recorded one has the weight of 0.4 in it.
    np.testing.assert_allclose(0.4 * losses["auxiliary_loss"], weighted, rtol=1e-5)
