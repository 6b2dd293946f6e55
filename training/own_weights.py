"""A weights file or a workdir of one's own: which variant and patch size it is of."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from keras_convnext.variants import VARIANTS, StemConv, Variant
from keras_convnext.weights.dialects import recognise
from keras_convnext.weights.dialects.own import OWN
from keras_convnext.weights.plan import ours_shapes
from keras_convnext.weights.readers import open_tensors

_MODEL = "model.keras"
_RECIPE = "recipe.json"
_BLOCK = re.compile(r"stage(\d+)_block(\d+)_dwconv/kernel")
_STEM = "stem_conv/kernel"


def file_of(named: str) -> Path | None:
    """Returns the weights file that a path names; None where it names none.

    Args:
        named: A file, or the workdir of a finished run.

    Raises:
        ValueError: It is a folder without a model.
    """
    path = Path(named).expanduser()
    if path.is_file():
        return path
    if not path.is_dir():
        return None
    if not (path / _MODEL).is_file():
        raise ValueError(
            f"--weights={named} is a folder without {_MODEL}; give a weights file, or "
            "the workdir of a finished run"
        )
    return path / _MODEL


def changes(file: Path, variant: str) -> list[str]:
    """Returns what a weights file says of the recipe, as `--set` has it.

    Args:
        file: The file. What a run left is asked by the `recipe.json` beside it, others
            by the shapes of their tensors.
        variant: The recipe's, which stays where the file fits it as well as another.
    """
    recipe = file.parent / _RECIPE
    if file.name == _MODEL and recipe.is_file():
        found = json.loads(recipe.read_text(encoding="utf-8"))
        known = {name: found.get(name) for name in ("variant", "patch_size")}
        return [f"{name}={value}" for name, value in known.items() if value]
    try:
        with open_tensors(file) as tensors:
            match = recognise(tensors.tensors)
            shapes = ours_shapes(tensors, match)
    except (OSError, ValueError):
        # Loading it says in full what is wrong.
        return []
    fitting = [row for row in VARIANTS.values() if _is_of(shapes, row)]
    if match.table.dialect != OWN.dialect:
        # Our own names, alone, do not say whether the last norm is before the pooling.
        first = match.table.norm_first
        fitting = [row for row in fitting if (row.head[0] == "norm") == first]
    chosen = next((row for row in fitting if row.name == variant), None)
    chosen = chosen or next(iter(fitting), None)
    if chosen is None:
        return []
    return [f"variant={chosen.name}", *_patch_size(shapes, chosen)]


def _is_of(shapes: Mapping[str, tuple[int, ...]], variant: Variant) -> bool:
    """Returns whether blocks, widths and kernels are those of a variant."""
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


def _patch_size(shapes: Mapping[str, tuple[int, ...]], variant: Variant) -> list[str]:
    [*stems] = [part for part in variant.stem if isinstance(part, StemConv)]
    side = shapes[_STEM][0] if _STEM in shapes else stems[0].kernel_px
    return [f"patch_size={side}"] if [stems[0].kernel_px] != [side] else []
