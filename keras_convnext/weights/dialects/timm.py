"""What timm calls the tensors, and OpenCLIP's image towers, which are timm's.

timm's small models (up to nano, and tiny_hnf) keep their dense layers as 1x1
convolutions; three kinds of stem number their parts differently; and tiny_hnf has
its last norm before the pooling, under another name. Source: timm 1.0's
models/convnext.py, state dicts of its 31 entry points.
"""

from __future__ import annotations

from keras_convnext.weights.dialects.table import Form, Row, Table, linear
from keras_convnext.weights.dialects.table import norm as norm_rows
from keras_convnext.weights.layouts import TORCH

_CONVOLUTION: Form = (0, 0, 1, 1)
# Widths of the last stage of the models whose dense layers timm writes as 1x1
# convolutions: zepto, atto, femto, pico, nano.
_ZEPTO_WIDTHS = frozenset({256})
_CONVOLUTION_WIDTHS = _ZEPTO_WIDTHS | {320, 384, 512, 640}

# Where each kind of stem has its second convolution and its norm.
_PATCH = tuple(norm_rows("stem_norm", "stem.1"))
_OVERLAP = (*linear("stem_conv2", "stem.1"), *norm_rows("stem_norm", "stem.2"))
_OVERLAP_ACT = (*linear("stem_conv2", "stem.2"), *norm_rows("stem_norm", "stem.3"))

_HEAD = (
    *norm_rows("head_norm", "head.norm"),
    *linear("head_hidden", "head.pre_logits.fc"),
    *linear("head_dense", "head.fc"),
)
_NORM_FIRST_HEAD = (
    *norm_rows("head_norm", "norm_pre"),
    *linear("head_dense", "head.fc"),
)


def _trunk(stem: tuple[Row, ...], form: Form) -> tuple[Row, ...]:
    ours, theirs = "stage{s}_block{b}", "stages.{s}.blocks.{b}"
    return (
        *linear("stem_conv", "stem.0"),
        *stem,
        *norm_rows("stage{d}_downsample_norm", "stages.{d}.downsample.0"),
        *linear("stage{d}_downsample_conv", "stages.{d}.downsample.1"),
        *linear(f"{ours}_dwconv", f"{theirs}.conv_dw"),
        *norm_rows(f"{ours}_norm", f"{theirs}.norm"),
        *linear(f"{ours}_expand", f"{theirs}.mlp.fc1", form),
        *norm_rows(f"{ours}_grn", f"{theirs}.mlp.grn"),
        *linear(f"{ours}_project", f"{theirs}.mlp.fc2", form),
        Row(f"{ours}_layer_scale/gamma", f"{theirs}.gamma"),
    )


def _table(
    stem: tuple[Row, ...], form: Form = None, last_widths: frozenset[int] | None = None
) -> Table:
    return Table(
        dialect="timm",
        layout=TORCH,
        rows=(*_trunk(stem, form), *_HEAD),
        last_widths=last_widths,
    )


TIMM = (
    _table(_PATCH, _CONVOLUTION, _CONVOLUTION_WIDTHS),
    _table(_PATCH),
    # The stem with an activation is zepto's; its layers with weights do not show it.
    _table(_OVERLAP_ACT, _CONVOLUTION, _ZEPTO_WIDTHS),
    _table(_OVERLAP, _CONVOLUTION, _CONVOLUTION_WIDTHS),
    _table(_OVERLAP),
    Table(
        dialect="timm",
        layout=TORCH,
        rows=(*_trunk(_PATCH, _CONVOLUTION), *_NORM_FIRST_HEAD),
        norm_first=True,
    ),
)


def _open_clip(*projection: Row) -> Table:
    return Table(
        dialect="open_clip",
        layout=TORCH,
        rows=(
            *(
                Row(row.ours, f"visual.trunk.{row.theirs}", row.form)
                for row in (*_trunk(_PATCH, None), *norm_rows("head_norm", "head.norm"))
            ),
            *projection,
        ),
        zeros=frozenset({"head_dense/bias"}),
        ignored=((r"(?!visual\.).+", "the text tower"),),
    )


# Two kinds of projection: one matrix, or a hidden layer and a matrix.
OPEN_CLIP = (
    _open_clip(Row("head_dense/kernel", "visual.head.proj.weight")),
    _open_clip(
        *linear("head_hidden", "visual.head.mlp.fc1"),
        Row("head_dense/kernel", "visual.head.mlp.fc2.weight"),
    ),
)
