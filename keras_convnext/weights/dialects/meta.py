"""What Meta's ConvNeXt and ConvNeXt-V2 repositories call the tensors.

The FCMAE checkpoints of V2 use the same names and have neither the last norm nor
a classifier. Source: the state dicts of facebookresearch/ConvNeXt and ConvNeXt-V2.
"""

from __future__ import annotations

from keras_convnext.weights.dialects.table import TORCH_WRAPPERS, Row, Table, linear
from keras_convnext.weights.dialects.table import norm as norm_rows
from keras_convnext.weights.layouts import TORCH

DIALECT = "meta"
GRN_FORM = (1, 1, 1, 0)

# Detection and segmentation checkpoints hold the network as `backbone`.
_CLEANING = (*TORCH_WRAPPERS, (r"^backbone\.", ""))
_TASKS = "decode_head|auxiliary_head|neck|rpn_head|roi_head|projectors"
_IGNORED = (
    (r"(.*\.)?norms\.\d+\..+", "norm of a feature map"),
    (r"backbone\.norm\d\..+", "norm of a feature map"),
    (rf"({_TASKS})\..+", "head of another task"),
)


def _block(ours: str, theirs: str) -> tuple[Row, ...]:
    return (
        *linear(f"{ours}_dwconv", f"{theirs}.dwconv"),
        *norm_rows(f"{ours}_norm", f"{theirs}.norm"),
        *linear(f"{ours}_expand", f"{theirs}.pwconv1"),
        *linear(f"{ours}_project", f"{theirs}.pwconv2"),
        Row(f"{ours}_layer_scale/gamma", f"{theirs}.gamma"),
        Row(f"{ours}_grn/gamma", f"{theirs}.grn.gamma", GRN_FORM),
        Row(f"{ours}_grn/beta", f"{theirs}.grn.beta", GRN_FORM),
    )


_HEAD = (*norm_rows("head_norm", "norm"), *linear("head_dense", "head"))

STAGED = Table(
    dialect=DIALECT,
    layout=TORCH,
    cleaning=_CLEANING,
    ignored=_IGNORED,
    rows=(
        *linear("stem_conv", "downsample_layers.0.0"),
        *norm_rows("stem_norm", "downsample_layers.0.1"),
        *norm_rows("stage{d}_downsample_norm", "downsample_layers.{d}.0"),
        *linear("stage{d}_downsample_conv", "downsample_layers.{d}.1"),
        *_block("stage{s}_block{b}", "stages.{s}.{b}"),
        *_HEAD,
    ),
)

ISOTROPIC = Table(
    dialect=DIALECT,
    layout=TORCH,
    cleaning=_CLEANING,
    ignored=_IGNORED,
    rows=(
        *linear("stem_conv", "stem"),
        *_block("stage0_block{b}", "blocks.{b}"),
        *_HEAD,
    ),
)
