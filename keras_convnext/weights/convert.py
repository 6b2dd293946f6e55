"""From a file in one dialect to a file in another, without a model between."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from keras_convnext.weights._load import check_numbers, read_ours
from keras_convnext.weights.dialects import TABLES, detect_naming, find_dialect
from keras_convnext.weights.dialects.detection import DETECTORS
from keras_convnext.weights.dialects.segmentation import UPERNETS
from keras_convnext.weights.errors import WeightsMismatchError
from keras_convnext.weights.fetch import fetch
from keras_convnext.weights.plan import ours_shapes
from keras_convnext.weights.pretrained import PretrainedWeights
from keras_convnext.weights.readers import open_tensors
from keras_convnext.weights.registry import locate
from keras_convnext.weights.report import Report
from keras_convnext.weights.save import write


def convert(
    source: str | os.PathLike[str], target: str | os.PathLike[str], dialect: str
) -> Report:
    """Writes the tensors of a file once more, under another project's names.

    Args:
        source: A file of any dialect and format that can be read, or "arch.tag".
        target: The .safetensors, .npz or .h5 file to write.
        dialect: Whose names it is to use, as in `save_weights_as`.

    Returns:
        What was converted.

    Raises:
        BadWeightsFileError: The source cannot be read, or holds NaN or infinity.
        WeightsMismatchError: It holds tensors that are not a ConvNeXt's.
        DownloadError: It could not be fetched.
        ValueError: The dialect has no word for a part of it, or does not exist.
    """
    found = locate(source)
    path = fetch(found) if isinstance(found, PretrainedWeights) else found
    # Others have no words for heads of other tasks: they get the backbone.
    word = find_dialect(dialect)
    tables = TABLES
    for of_task in (UPERNETS, DETECTORS):
        if word in {table.dialect for table in of_task}:
            tables = (*tables, *of_task)
    with open_tensors(path) as file:
        match = detect_naming(file.tensors, tables)
        strange = (*match.unknown, *match.beside)
        if strange or not match.found:
            names = ", ".join(strange) or "nothing at all"
            raise WeightsMismatchError(
                f"{path} ({file.kind}) holds what is not known as a part of a ConvNeXt "
                f"({match.table.dialect} names fit best): {names}."
            )
        shapes = ours_shapes(file, match)
        check_numbers(file, match, shapes)
        write(
            shapes,
            lambda ours: read_ours(file, match, ours).astype(np.float32),
            Path(target),
            dialect,
            norm_first=match.table.norm_first,
        )
        return Report(
            source=os.fspath(source),
            path=str(target),
            kind=file.kind,
            dialect=match.table.dialect,
            tensors=len(shapes),
            parameters=sum(int(np.prod(shape)) for shape in shapes.values()),
            dropped=tuple(match.ignored),
        )
