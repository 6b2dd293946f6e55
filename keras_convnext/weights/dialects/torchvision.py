"""What torchvision's four ConvNeXts call the tensors.

Stages and downsamplings alternate in one list called `features`: stage s is entry
2s + 1, the downsampling before it entry 2s.
"""

from __future__ import annotations

from keras_convnext.weights.dialects.table import Row, Table, linear
from keras_convnext.weights.dialects.table import norm as norm_rows
from keras_convnext.weights.layouts import TORCH

_BLOCK = "stage{s}_block{b}"
_THEIRS = "features.{odd}.{b}"

TORCHVISION = Table(
    dialect="torchvision",
    layout=TORCH,
    rows=(
        *linear("stem_conv", "features.0.0"),
        *norm_rows("stem_norm", "features.0.1"),
        *norm_rows("stage{d}_downsample_norm", "features.{even}.0"),
        *linear("stage{d}_downsample_conv", "features.{even}.1"),
        *linear(f"{_BLOCK}_dwconv", f"{_THEIRS}.block.0"),
        *norm_rows(f"{_BLOCK}_norm", f"{_THEIRS}.block.2"),
        *linear(f"{_BLOCK}_expand", f"{_THEIRS}.block.3"),
        *linear(f"{_BLOCK}_project", f"{_THEIRS}.block.5"),
        Row(f"{_BLOCK}_layer_scale/gamma", f"{_THEIRS}.layer_scale", (0, 1, 1)),
        *norm_rows("head_norm", "classifier.0"),
        *linear("head_dense", "classifier.2"),
    ),
)
