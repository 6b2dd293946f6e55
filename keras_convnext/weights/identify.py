"""Which variant a weights file is of, by the names and shapes of its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from keras_convnext.variants import VARIANTS, StemConv, Variant
from keras_convnext.weights.dialects import detect_naming
from keras_convnext.weights.dialects.native import NATIVE
from keras_convnext.weights.plan import ours_shapes
from keras_convnext.weights.readers import open_tensors

_BLOCK = re.compile(r"stage(\d+)_block(\d+)_dwconv/kernel")
_STEM = "stem_conv/kernel"
_HEAD = "head_dense/kernel"


@dataclass(frozen=True)
class Identified:
    """What the tensors of a file are of.

    Attributes:
        variant: The variant's name.
        patch_size: Side of the stem's patches, where it is not the variant's own.
        classes: Classes of the head; `None` where there is no head.
    """

    variant: str
    patch_size: int | None
    classes: int | None


def identify(file: Path, preferred: str = "") -> Identified | None:
    """Returns the variant of a weights file, or `None` if it fits none.

    Args:
        file: Any that `keras_convnext.load_weights` reads.
        preferred: The variant to name where the file fits it as well as others.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no weights file, or its names are nobody's.
    """
    with open_tensors(file) as tensors:
        match = detect_naming(tensors.tensors)
        shapes = ours_shapes(tensors, match)
    fitting = [row for row in VARIANTS.values() if _is_of(shapes, row)]
    if match.table.dialect != NATIVE.dialect:
        # Our own names, alone, do not say whether the last norm is before the pooling.
        first = match.table.norm_first
        fitting = [row for row in fitting if (row.head[0] == "norm") == first]
    chosen = next((row for row in fitting if row.name == preferred), None)
    chosen = chosen or next(iter(fitting), None)
    if chosen is None:
        return None
    classes = shapes[_HEAD][-1] if _HEAD in shapes else None
    return Identified(chosen.name, _patch_size(shapes, chosen), classes)


def _is_of(shapes: Mapping[str, tuple[int, ...]], variant: Variant) -> bool:
    """Returns True if blocks, widths and kernels are those of a variant."""
    blocks: dict[int, int] = {}
    sides: dict[int, tuple[int, int]] = {}
    for name, shape in shapes.items():
        found = _BLOCK.fullmatch(name)
        if found:
            stage = int(found[1])
            blocks[stage] = blocks.get(stage, 0) + 1
            sides[stage] = (shape[0], shape[2])
    stages = range(len(variant.depths))
    grn = any(name.endswith("_grn/gamma") for name in shapes)
    beta = "stage0_block0_norm/beta" in shapes
    stems = [part for part in variant.stem if isinstance(part, StemConv)]
    return (
        tuple(blocks.get(stage, 0) for stage in stages) == variant.depths
        and len(blocks) == len(variant.depths)
        and all(
            sides[stage] == (variant.kernel_sizes[stage], variant.widths[stage])
            for stage in stages
        )
        and grn == variant.grn
        and beta == (variant.norm == "layer")
        and ("stem_conv2/kernel" in shapes) == (len(stems) > 1)
        and ("head_hidden/kernel" in shapes) <= ("hidden" in variant.head)
    )


def _patch_size(shapes: Mapping[str, tuple[int, ...]], variant: Variant) -> int | None:
    [*stems] = [part for part in variant.stem if isinstance(part, StemConv)]
    side = shapes[_STEM][0] if _STEM in shapes else stems[0].kernel_px
    return None if stems[0].kernel_px == side else side
