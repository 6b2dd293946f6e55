"""The library's own names, as its .npz, .safetensors and .keras files have them."""

from __future__ import annotations

from keras_convnext.weights.dialects.table import Row, Table
from keras_convnext.weights.layouts import KERAS

_NAMES = (
    "stem_conv/kernel",
    "stem_conv/bias",
    "stem_conv2/kernel",
    "stem_conv2/bias",
    "stem_norm/gamma",
    "stem_norm/beta",
    "stage{d}_downsample_norm/gamma",
    "stage{d}_downsample_norm/beta",
    "stage{d}_downsample_conv/kernel",
    "stage{d}_downsample_conv/bias",
    "stage{s}_block{b}_dwconv/kernel",
    "stage{s}_block{b}_dwconv/bias",
    "stage{s}_block{b}_norm/gamma",
    "stage{s}_block{b}_norm/beta",
    "stage{s}_block{b}_expand/kernel",
    "stage{s}_block{b}_expand/bias",
    "stage{s}_block{b}_grn/gamma",
    "stage{s}_block{b}_grn/beta",
    "stage{s}_block{b}_project/kernel",
    "stage{s}_block{b}_project/bias",
    "stage{s}_block{b}_layer_scale/gamma",
    "head_norm/gamma",
    "head_norm/beta",
    "head_hidden/kernel",
    "head_hidden/bias",
    "head_dense/kernel",
    "head_dense/bias",
)

NATIVE = Table(
    dialect="keras_convnext",
    layout=KERAS,
    # Variables of layers within layers carry the outer ones' names in front.
    cleaning=((r"^.*/(?=[^/]+/[^/]+$)", ""),),
    rows=tuple(Row(name, name) for name in _NAMES),
)
