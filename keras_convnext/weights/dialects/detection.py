"""What mmdetection and Meta call the tensors of Mask R-CNN and its cascade.

Meta's repository builds on mmdetection, so that only the backbones' names differ.
Source: the state dicts of mmdetection 3.3.0 and facebookresearch/ConvNeXt.
"""

from __future__ import annotations

from dataclasses import replace

from keras_convnext.weights.dialects.native import NATIVE
from keras_convnext.weights.dialects.openmmlab import OPENMMLAB
from keras_convnext.weights.dialects.segmentation import (
    META_BODY,
    batch_norm,
    output_norms,
    with_heads,
)
from keras_convnext.weights.dialects.table import Row, Table, linear

_LEVELS, _CONVOLUTIONS, _STAGES = 4, 4, 3


def _box_head(stage: str, convolutions: int, dense: int) -> list[Row]:
    ours = f"box{stage}"
    theirs = f"roi_head.bbox_head.{stage}".removesuffix(".")
    rows = []
    for index in range(convolutions):
        conv = f"{theirs}.shared_convs.{index}"
        rows.append(Row(f"{ours}_conv{index}/kernel", f"{conv}.conv.weight"))
        rows += batch_norm(f"{ours}_norm{index}", f"{conv}.bn")
    for index in range(dense):
        rows += linear(f"{ours}_fc{index}", f"{theirs}.shared_fcs.{index}")
    rows += linear(f"{ours}_logits", f"{theirs}.fc_cls")
    return rows + linear(f"{ours}_deltas", f"{theirs}.fc_reg")


def _mask_head(stage: str) -> list[Row]:
    ours = f"mask{stage}"
    theirs = f"roi_head.mask_head.{stage}".removesuffix(".")
    rows = []
    for index in range(_CONVOLUTIONS):
        rows += linear(f"{ours}_conv{index}", f"{theirs}.convs.{index}.conv")
    rows += linear(f"{ours}_upsample", f"{theirs}.upsample")
    return rows + linear(f"{ours}_logits", f"{theirs}.conv_logits")


def _neck_and_rpn() -> list[Row]:
    rows = []
    for level in range(_LEVELS):
        rows += linear(f"fpn_lateral{level}", f"neck.lateral_convs.{level}.conv")
        rows += linear(f"fpn_output{level}", f"neck.fpn_convs.{level}.conv")
    for ours, theirs in (("conv", "conv"), ("logits", "cls"), ("deltas", "reg")):
        rows += linear(f"rpn_{ours}", f"rpn_head.rpn_{theirs}")
    return rows


_HEADS = (
    *_neck_and_rpn(),
    *_box_head("", 0, 2),
    *_mask_head(""),
    *(
        row
        for stage in map(str, range(_STAGES))
        for row in (*_box_head(stage, _CONVOLUTIONS, 1), *_mask_head(stage))
    ),
)
_NORMS = output_norms("backbone.norm{}", 0)
# Our own names: every head's that a rule above has.
_NATIVE_HEADS = tuple(Row(row.ours, row.ours) for row in (*_NORMS, *_HEADS))

DETECTORS: tuple[Table, ...] = (
    replace(NATIVE, rows=(*NATIVE.rows, *_NATIVE_HEADS)),
    with_heads(META_BODY, _NORMS, _HEADS),
    with_heads(OPENMMLAB, _NORMS, _HEADS),
)
