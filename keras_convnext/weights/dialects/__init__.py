"""The dialects: what each project calls the same tensors, as tables."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from keras_convnext.weights.dialects import meta, segmentation
from keras_convnext.weights.dialects.detection import DETECTORS
from keras_convnext.weights.dialects.huggingface import (
    HUGGING_FACE,
    HUGGING_FACE_DINOV3,
)
from keras_convnext.weights.dialects.keras3_weights_h5 import match_store
from keras_convnext.weights.dialects.keras_applications import KERAS_APPLICATIONS
from keras_convnext.weights.dialects.native import NATIVE
from keras_convnext.weights.dialects.openmmlab import OPENMMLAB
from keras_convnext.weights.dialects.table import STEM, Match, Table
from keras_convnext.weights.dialects.timm import OPEN_CLIP, TIMM
from keras_convnext.weights.dialects.torchvision import TORCHVISION
from keras_convnext.weights.errors import WeightsMismatchError
from keras_convnext.weights.tensor_file import TensorInfo

TABLES: tuple[Table, ...] = (
    NATIVE,
    *TIMM,
    # First, because the other one has words for all that an isotropic network has.
    meta.ISOTROPIC,
    meta.STAGED,
    *HUGGING_FACE,
    HUGGING_FACE_DINOV3,
    TORCHVISION,
    OPENMMLAB,
    *OPEN_CLIP,
    KERAS_APPLICATIONS,
)
# For models with UPerNet's heads, whose backbones start from the others' too.
SEGMENTATION_TABLES = (*segmentation.UPERNETS, *TABLES)
DETECTION_TABLES = (*DETECTORS, *TABLES)
DIALECTS = tuple(
    dict.fromkeys(table.dialect for table in (*TABLES, *segmentation.UPERNETS))
)
# How the names of layers begin that only detection has, or only segmentation or it.
_DETECTION_LAYERS = ("fpn_", "rpn_", "box", "mask")
HEAD_LAYERS = ("decode_", "auxiliary_", "pyramid_norm_", *_DETECTION_LAYERS)
# mmsegmentation's and mmdetection's backbone is mmpretrain's.
_OTHER_WORDS = {"mmseg": "openmmlab", "mmdet": "openmmlab"}


# Words of a prefix that say which of several networks is the one to use: the average
# that training has kept, rather than what is trained.
_AVERAGES = frozenset({"ema", "swa", "average", "averaged", "teacher", "shadow"})
_MOST_PREFIXES = 8


def tables_for(names: Iterable[str]) -> tuple[Table, ...]:
    """Returns the tables for a model.

    Args:
        names: Our names of its layers or variables.
    """
    names = tuple(names)
    if any(name.startswith(_DETECTION_LAYERS) for name in names):
        return DETECTION_TABLES
    has_heads = any(name.startswith(HEAD_LAYERS) for name in names)
    return SEGMENTATION_TABLES if has_heads else TABLES


def find_dialect(word: str) -> str:
    """Returns the dialect that a word means.

    Raises:
        ValueError: There is none.
    """
    dialect = _OTHER_WORDS.get(word, word)
    if dialect not in DIALECTS:
        words = ", ".join((*DIALECTS, *_OTHER_WORDS))
        raise ValueError(f"There is no dialect {word!r}; there are {words}.")
    return dialect


def detect_naming(
    tensors: Mapping[str, TensorInfo], tables: Sequence[Table] = TABLES
) -> Match:
    """Returns the match of the table that knows most of a file's tensors.

    A network may stand under a name of somebody's own ("net.stem.0.weight"), and next
    to others; then the average that training has kept counts.

    Args:
        tensors: Names and shapes, as a `TensorFile` has them.
        tables: Those that are tried.

    Raises:
        WeightsMismatchError: There are several networks and none is an average.
    """
    stored = match_store(tensors)
    if stored is not None:
        return stored
    whole = _best(tensors, tables)
    others = whole.beside if whole.has_stem else tuple(tensors)
    matches = [whole] if whole.has_stem else []
    for prefix in _prefixes(others):
        inner = {
            name.removeprefix(prefix): tensors[name]
            for name in others
            if name.startswith(prefix)
        }
        matches.append(_best(inner, tables).within(prefix, tensors))
    if not matches:
        return whole
    averages = [match for match in matches if _is_average(match)]
    if len(matches) > 1 and len(averages) != 1:
        names = ", ".join(repr(match.found[STEM]) for match in matches)
        raise WeightsMismatchError(
            f"The file holds {len(matches)} networks, which begin with {names}: save "
            "the one that is wanted alone."
        )
    return (averages or matches)[0]


def _best(tensors: Mapping[str, TensorInfo], tables: Sequence[Table]) -> Match:
    matches = []
    for table in tables:
        matches.append(table.match(tensors))
        # No later table can know more, and `max` keeps the first of equals, so the
        # order above decides a tie.
        if len(matches[-1].found) == len(tensors):
            break
    return max(
        matches,
        key=lambda match: (
            len(match.found),
            -len(match.unknown) - len(match.beside),
        ),
    )


def _prefixes(names: Collection[str]) -> list[str]:
    """Returns the prefix of each network among the names."""
    stems = {table.stem_name for table in TABLES if table is not NATIVE}
    found = {
        name.removesuffix(stem)
        for name in names
        for stem in stems
        if name.endswith(f".{stem}")
    }
    # Some projects' stems end as others' do: theirs is the shorter prefix.
    shortest = [
        prefix
        for prefix in sorted(found)[:_MOST_PREFIXES]
        if not any(other != prefix and prefix.startswith(other) for other in found)
    ]
    return shortest


def _is_average(match: Match) -> bool:
    words = re.split("[^a-z]+", match.found[STEM].lower())
    return not _AVERAGES.isdisjoint(words)
