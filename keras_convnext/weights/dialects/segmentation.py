"""What other projects call the tensors of UPerNet on a ConvNeXt.

The heads' names are mmsegmentation's, which Meta and Hugging Face follow but for two
words; segmentation-models-pytorch has its own. Source: the state dicts of
mmsegmentation 1.2.2, transformers 5 and segmentation-models-pytorch 0.6.
"""

from __future__ import annotations

from dataclasses import replace

from keras_convnext.weights.dialects import meta
from keras_convnext.weights.dialects.huggingface import HUGGING_FACE_BACKBONE
from keras_convnext.weights.dialects.native import NATIVE
from keras_convnext.weights.dialects.openmmlab import OPENMMLAB
from keras_convnext.weights.dialects.table import TORCH_WRAPPERS, Row, Table, linear
from keras_convnext.weights.dialects.table import norm as norm_rows
from keras_convnext.weights.dialects.timm import TIMM

# Layers of the decoder here and there, below "decode_head.".
_DECODER = {
    **{f"pool{size}": f"psp_modules.{i}.1" for i, size in enumerate((1, 2, 3, 6))},
    "bottleneck": "bottleneck",
    **{f"lateral{i}": f"lateral_convs.{i}" for i in range(3)},
    **{f"fpn{i}": f"fpn_convs.{i}" for i in range(3)},
    "fuse": "fpn_bottleneck",
}
_COUNTERS = (r".*\.num_batches_tracked", "torch's count of batches")


def batch_norm(ours: str, theirs: str) -> list[Row]:
    """Returns the rules of a batch normalization in torch's words."""
    return [
        *norm_rows(ours, theirs),
        Row(f"{ours}/moving_mean", f"{theirs}.running_mean"),
        Row(f"{ours}/moving_variance", f"{theirs}.running_var"),
    ]


def conv_norm(ours: str, conv: str, norm: str) -> list[Row]:
    """Returns the rules of a convolution without bias and its normalization."""
    return [
        Row(f"{ours}_conv/kernel", f"{conv}.weight"),
        *batch_norm(f"{ours}_norm", norm),
    ]


def _heads(norm: str, classifier: str) -> tuple[Row, ...]:
    """Returns the rules of both heads, given the words that differ."""
    decoder = [
        row
        for ours, theirs in _DECODER.items()
        for row in conv_norm(
            f"decode_{ours}",
            f"decode_head.{theirs}.conv",
            f"decode_head.{theirs}.{norm}",
        )
    ]
    first = "auxiliary_head.convs.0"
    return (
        *decoder,
        *linear("decode_logits", f"decode_head.{classifier}"),
        *conv_norm("auxiliary", f"{first}.conv", f"{first}.{norm}"),
        *linear("auxiliary_logits", f"auxiliary_head.{classifier}"),
    )


def output_norms(pattern: str, first: int) -> tuple[Row, ...]:
    """Returns the rules of the norms that the four feature maps go through."""
    return tuple(
        row
        for level in range(4)
        for row in norm_rows(
            f"pyramid_norm_p{level + 2}", pattern.format(level + first)
        )
    )


def with_heads(body: Table, norms: tuple[Row, ...], heads: tuple[Row, ...]) -> Table:
    """Returns a backbone's table without its classifier, with another task's heads."""
    rows = tuple(row for row in body.rows if not row.ours.startswith("head_"))
    return replace(body, rows=(*rows, *norms, *heads), ignored=(_COUNTERS,))


_MMSEG_HEADS = _heads("bn", "conv_seg")
# As OPENMMLAB and HUGGING_FACE_BACKBONE have it.
META_BODY = replace(
    meta.STAGED,
    cleaning=TORCH_WRAPPERS,
    rows=tuple(
        replace(row, theirs=f"backbone.{row.theirs}") for row in meta.STAGED.rows
    ),
)
_SMP_BODY = "encoder.model."
_SMP_DECODER = {
    **{f"pool{size}": f"psp.blocks.{i}.1" for i, size in enumerate((1, 2, 3, 6))},
    "bottleneck": "psp.out_conv",
    # There the coarse come first.
    **{f"lateral{i}": f"fpn_lateral_blocks.{2 - i}.conv_norm_relu" for i in range(3)},
    **{f"fpn{i}": f"fpn_conv_blocks.{2 - i}" for i in range(3)},
    "fuse": "fusion_block",
}
_SMP_HEADS = (
    *(
        row
        for ours, theirs in _SMP_DECODER.items()
        for row in conv_norm(
            f"decode_{ours}", f"decoder.{theirs}.0", f"decoder.{theirs}.1"
        )
    ),
    *linear("decode_logits", "segmentation_head.0"),
)


def _of_smp(timm: Table) -> Table:
    # timm writes "stem_0" and "stages_1" where a network gives feature maps alone.
    rows = tuple(
        replace(row, theirs=_SMP_BODY + row.theirs.replace(".", "_", 1))
        for row in timm.rows
    )
    body = replace(timm, dialect="smp", rows=rows, cleaning=())
    return with_heads(body, output_norms("decoder.feature_norms.{}", 0), _SMP_HEADS)


# Our own names: every head's that a rule above has.
_NATIVE_HEADS = tuple(
    Row(row.ours, row.ours) for row in (*output_norms("{}", 0), *_MMSEG_HEADS)
)

UPERNETS: tuple[Table, ...] = (
    replace(NATIVE, rows=(*NATIVE.rows, *_NATIVE_HEADS)),
    with_heads(META_BODY, output_norms("backbone.norm{}", 0), _MMSEG_HEADS),
    with_heads(
        HUGGING_FACE_BACKBONE,
        output_norms("backbone.hidden_states_norms.stage{}", 1),
        _heads("batch_norm", "classifier"),
    ),
    with_heads(OPENMMLAB, output_norms("backbone.norm{}", 0), _MMSEG_HEADS),
    *map(_of_smp, TIMM),
)
