"""The files that a .keras file needs beside it: its labels and how it sees images."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from keras_convnext import _files
from keras_convnext._messages import UsageError
from keras_convnext.inference.sidecars import LABELS, PREPROCESSING
from keras_convnext.preprocessing import Preprocessing


def write(out: Path, labels: Sequence[str], preprocessing: Preprocessing) -> None:
    """Writes labels.txt and preprocessing.json beside a file.

    Args:
        out: The model's file.
        labels: Of its outputs; without any there is no labels.txt.
        preprocessing: How it sees images.

    Raises:
        UsageError: Files of another model lie there.
    """
    beside = {
        PREPROCESSING: json.dumps(dataclasses.asdict(preprocessing), indent=2) + "\n"
    }
    if labels:
        beside[LABELS] = "\n".join(labels) + "\n"
    for name, text in beside.items():
        file = out.parent / name
        if file.exists() and file.read_text(encoding="utf-8") != text:
            raise UsageError(
                f"--out={out}: {file} is of another model; choose an empty folder"
            )
    for name, text in beside.items():
        _files.write_text(out.parent / name, text)
