"""What mmpretrain (and with it mmdetection, mmsegmentation) calls the tensors.

The last norm is the one of the fourth feature map, `backbone.norm3`. Source:
mmpretrain/models/backbones/convnext.py.
"""

from __future__ import annotations

from keras_convnext.weights.dialects.table import Row, Table, linear
from keras_convnext.weights.dialects.table import norm as norm_rows
from keras_convnext.weights.layouts import TORCH

_BLOCK = "stage{s}_block{b}"
_THEIRS = "backbone.stages.{s}.{b}"

OPENMMLAB = Table(
    dialect="openmmlab",
    layout=TORCH,
    ignored=(
        (r"(data_preprocessor|neck|decode_head|auxiliary_head)\..+", "another task's"),
        (r"(rpn_head|roi_head|bbox_head)\..+", "another task's"),
        (r"backbone\.norm[0-2]\..+", "norm of a feature map"),
    ),
    rows=(
        *linear("stem_conv", "backbone.downsample_layers.0.0"),
        *norm_rows("stem_norm", "backbone.downsample_layers.0.1"),
        *norm_rows("stage{d}_downsample_norm", "backbone.downsample_layers.{d}.0"),
        *linear("stage{d}_downsample_conv", "backbone.downsample_layers.{d}.1"),
        *linear(f"{_BLOCK}_dwconv", f"{_THEIRS}.depthwise_conv"),
        *norm_rows(f"{_BLOCK}_norm", f"{_THEIRS}.norm"),
        *linear(f"{_BLOCK}_expand", f"{_THEIRS}.pointwise_conv1"),
        *linear(f"{_BLOCK}_project", f"{_THEIRS}.pointwise_conv2"),
        Row(f"{_BLOCK}_layer_scale/gamma", f"{_THEIRS}.gamma"),
        Row(f"{_BLOCK}_grn/gamma", f"{_THEIRS}.grn.gamma"),
        Row(f"{_BLOCK}_grn/beta", f"{_THEIRS}.grn.beta"),
        *norm_rows("head_norm", "backbone.norm3"),
        *linear("head_dense", "head.fc"),
    ),
)
