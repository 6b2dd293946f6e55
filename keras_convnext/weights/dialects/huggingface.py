"""What Hugging Face transformers calls the tensors.

ConvNextForImageClassification, its V2 sister and their bodies without a head (as
saved alone, or as the backbone of UperNet), and DINOv3ConvNext. Source: the state
dicts that transformers 5 writes.
"""

from __future__ import annotations

from keras_convnext.weights.dialects.meta import GRN_FORM
from keras_convnext.weights.dialects.table import Row, Table, linear
from keras_convnext.weights.dialects.table import norm as norm_rows
from keras_convnext.weights.layouts import TORCH

_BLOCK = "stage{s}_block{b}"
_IGNORED = (
    (r"(.*\.)?hidden_states_norms\..+", "norm of a feature map"),
    (r"(decode_head|auxiliary_head)\..+", "head of another task"),
)


def _convnext(prefix: str, *, scale: bool, grn: bool) -> Table:
    """Returns the rules for names that begin with `prefix`.

    Args:
        prefix: What stands before the body's names.
        scale: Whether there is layer scale (V1).
        grn: Whether there is Global Response Normalization (V2).
    """
    block = f"{prefix}encoder.stages.{{s}}.layers.{{b}}"
    downsample = f"{prefix}encoder.stages.{{d}}.downsampling_layer"
    parts: list[Row] = []
    if scale:
        parts.append(
            Row(f"{_BLOCK}_layer_scale/gamma", f"{block}.layer_scale_parameter")
        )
    if grn:
        # The second pair of names is that of older files.
        for gamma, beta in (("weight", "bias"), ("gamma", "beta")):
            parts += [
                Row(f"{_BLOCK}_grn/gamma", f"{block}.grn.{gamma}", GRN_FORM),
                Row(f"{_BLOCK}_grn/beta", f"{block}.grn.{beta}", GRN_FORM),
            ]
    return Table(
        dialect="huggingface",
        layout=TORCH,
        ignored=_IGNORED,
        rows=(
            *linear("stem_conv", f"{prefix}embeddings.patch_embeddings"),
            *norm_rows("stem_norm", f"{prefix}embeddings.layernorm"),
            *norm_rows("stage{d}_downsample_norm", f"{downsample}.0"),
            *linear("stage{d}_downsample_conv", f"{downsample}.1"),
            *linear(f"{_BLOCK}_dwconv", f"{block}.dwconv"),
            *norm_rows(f"{_BLOCK}_norm", f"{block}.layernorm"),
            *linear(f"{_BLOCK}_expand", f"{block}.pwconv1"),
            *linear(f"{_BLOCK}_project", f"{block}.pwconv2"),
            *parts,
            *norm_rows("head_norm", f"{prefix}layernorm"),
            *linear("head_dense", "classifier"),
        ),
    )


# The body of UperNet too.
HUGGING_FACE_BACKBONE = _convnext("backbone.", scale=True, grn=True)
HUGGING_FACE = (
    _convnext("convnext.", scale=True, grn=False),
    _convnext("convnextv2.", scale=False, grn=True),
    _convnext("", scale=True, grn=True),
    HUGGING_FACE_BACKBONE,
)

_DINO_BLOCK = "stages.{s}.layers.{b}"

HUGGING_FACE_DINOV3 = Table(
    dialect="huggingface_dinov3",
    layout=TORCH,
    ignored=_IGNORED,
    rows=(
        # The first stage's "downsampling" is the stem, with its norm behind it.
        *linear("stem_conv", "stages.0.downsample_layers.0"),
        *norm_rows("stem_norm", "stages.0.downsample_layers.1"),
        *norm_rows("stage{d}_downsample_norm", "stages.{d}.downsample_layers.0"),
        *linear("stage{d}_downsample_conv", "stages.{d}.downsample_layers.1"),
        *linear(f"{_BLOCK}_dwconv", f"{_DINO_BLOCK}.depthwise_conv"),
        *norm_rows(f"{_BLOCK}_norm", f"{_DINO_BLOCK}.layer_norm"),
        *linear(f"{_BLOCK}_expand", f"{_DINO_BLOCK}.pointwise_conv1"),
        *linear(f"{_BLOCK}_project", f"{_DINO_BLOCK}.pointwise_conv2"),
        Row(f"{_BLOCK}_layer_scale/gamma", f"{_DINO_BLOCK}.gamma"),
        *norm_rows("head_norm", "layer_norm"),
    ),
)
