"""Layer-wise learning rates: the nearer to the image, the smaller the step."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

ASSIGNMENTS = ("group", "single", "stage")
_BLOCK = re.compile(r"(?:^|/)stage(\d+)_block(\d+)_")
_DOWNSAMPLE = re.compile(r"(?:^|/)stage(\d+)_downsample_")
_STEM = re.compile(r"(?:^|/)stem_")
# Blocks of the third stage that make one group.
_BLOCKS_A_GROUP = 3
# A third stage of more blocks is told apart in nine groups, else in three.
_SHALLOW = 9
_STAGES = 4


def lr_scales(
    model: keras.Model, layer_decay: float, assignment: str = "group"
) -> dict[str, float]:
    """Returns the factor on the learning rate for each trainable variable.

    The last norm and the classifier have 1, and each layer before them
    `layer_decay` times what the one behind it has.

    Args:
        model: A ConvNeXt; its layers' names say where they are.
        layer_decay: Factor from one layer to the one before it, in (0, 1].
        assignment: What counts as one layer. "group": the stem, each of the first
            two stages, every three blocks of the third, and the last stage, 12
            layers (6 where the third stage has at most 9 blocks). "single": every
            block. "stage", of segmentation: stem and downsampling are layer 0, the
            four stages 1 to 4, and the heads 13 (7 where the third stage has at most 9
            blocks).

    Returns:
        Factors by variable path.

    Raises:
        ValueError: `layer_decay` or `assignment` is none of these, or the model is
            no ConvNeXt.

    Source: arXiv:2201.03545, appendix A.2; arXiv:2301.00808, appendix A; the official
    code's `get_num_layer_for_convnext` and `get_num_layer_for_convnext_single`; for
    "stage", mmsegmentation 1.2.2's `get_stage_id_for_convnext`.

    Example:
        >>> import keras_convnext
        >>> from keras_convnext.layer_decay import lr_scales
        >>> model = keras_convnext.create("convnext_atto", classes=10)
        >>> scales = lr_scales(model, 0.8)
        >>> scales["head_dense/kernel"], round(scales["stem_conv/kernel"], 3)
        (1.0, 0.21)
    """
    if not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay is {layer_decay}, not in (0, 1].")
    if assignment not in ASSIGNMENTS:
        raise ValueError(
            f"assignment is {assignment!r}, not one of {', '.join(ASSIGNMENTS)}."
        )
    paths = [variable.path for variable in model.trainable_variables]
    depths = _depths(paths)
    if assignment != "single" and len(depths) != _STAGES:
        raise ValueError(
            f"assignment {assignment!r} is for {_STAGES} stages, and this model has "
            f"{len(depths)}; 'single' takes any."
        )
    number = _NUMBERS[assignment]
    head = sum(depths) + 1 if assignment == "single" else _last_group(depths) + 1
    return {path: layer_decay ** (head - number(path, depths, head)) for path in paths}


def _depths(paths: Sequence[str]) -> list[int]:
    """Returns how many blocks each stage has, read from the variables' paths."""
    blocks = {
        (int(found[1]), int(found[2]))
        for path in paths
        if (found := _BLOCK.search(path))
    }
    if not blocks:
        raise ValueError(
            "layer-wise learning rates need layers named as ConvNeXt's are "
            "(stage0_block0_dwconv ...); this model has none."
        )
    stages = max(stage for stage, _ in blocks) + 1
    return [sum(stage == wanted for stage, _ in blocks) for wanted in range(stages)]


def _last_group(depths: Sequence[int]) -> int:
    return 12 if depths[2] > _SHALLOW else 6


def _group_number(path: str, depths: Sequence[int], head: int) -> int:
    if _STEM.search(path):
        return 0
    if found := _DOWNSAMPLE.search(path):
        stage, block = int(found[1]), 0
    elif found := _BLOCK.search(path):
        stage, block = int(found[1]), int(found[2])
    else:
        return head
    if stage == _STAGES - 1:
        return head - 1
    return stage + 1 + (block // _BLOCKS_A_GROUP if stage == 2 else 0)


def _single_number(path: str, depths: Sequence[int], head: int) -> int:
    if _STEM.search(path):
        # The official code gives the stem and the first block one number.
        return 1
    if found := _DOWNSAMPLE.search(path):
        return sum(depths[: int(found[1])]) + 1
    if found := _BLOCK.search(path):
        return sum(depths[: int(found[1])]) + int(found[2]) + 1
    return head


def _stage_number(path: str, depths: Sequence[int], head: int) -> int:
    if _STEM.search(path) or _DOWNSAMPLE.search(path):
        # mmsegmentation gives all downsampling the stem's number.
        return 0
    if found := _BLOCK.search(path):
        return int(found[1]) + 1
    return head


_NUMBERS: dict[str, Callable[[str, Sequence[int], int], int]] = {
    "group": _group_number,
    "single": _single_number,
    "stage": _stage_number,
}
