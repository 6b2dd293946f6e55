"""The dialects: what each project calls the same tensors, as tables."""

from __future__ import annotations

from collections.abc import Mapping

from keras_convnext.weights.dialects import meta
from keras_convnext.weights.dialects.huggingface import (
    HUGGING_FACE,
    HUGGING_FACE_DINOV3,
)
from keras_convnext.weights.dialects.keras_applications import NAMED
from keras_convnext.weights.dialects.keras_store import match_store
from keras_convnext.weights.dialects.openmmlab import OPENMMLAB
from keras_convnext.weights.dialects.own import OWN
from keras_convnext.weights.dialects.table import Match, Table
from keras_convnext.weights.dialects.timm import OPEN_CLIP, TIMM
from keras_convnext.weights.dialects.torchvision import TORCHVISION
from keras_convnext.weights.tensor_file import TensorInfo

TABLES: tuple[Table, ...] = (
    OWN,
    *TIMM,
    # First, because the other one has words for all that an isotropic network has.
    meta.ISOTROPIC,
    meta.STAGED,
    *HUGGING_FACE,
    HUGGING_FACE_DINOV3,
    TORCHVISION,
    OPENMMLAB,
    *OPEN_CLIP,
    NAMED,
)
DIALECTS = tuple(dict.fromkeys(table.dialect for table in TABLES))


def recognise(tensors: Mapping[str, TensorInfo]) -> Match:
    """Returns the match of the table that knows most of a file's tensors.

    Args:
        tensors: Names and shapes, as a `TensorFile` has them.
    """
    stored = match_store(tensors)
    if stored is not None:
        return stored
    matches = []
    for table in TABLES:
        matches.append(table.match(tensors))
        # No later table can know more, and `max` keeps the first of equals, so the
        # order above decides a tie.
        if len(matches[-1].found) == len(tensors):
            break
    return max(matches, key=lambda match: (len(match.found), -len(match.unknown)))
