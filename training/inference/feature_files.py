"""Writes features: a table, .npz or .parquet, and an index that finds neighbors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ENDINGS = (".npz", ".parquet")
INDEX_ENDING = ".usearch"


def find_writer(ending: str) -> Callable[[Path, dict[str, Any]], None]:
    """Returns what writes a table of arrays into a file of that ending.

    Raises:
        ValueError: It needs a package that is not there.
    """
    if ending == ".npz":
        return _write_npz
    try:
        # tensorflow-datasets brings it.
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise ValueError(f"{ending} files need pyarrow: pip install pyarrow") from error
    return _write_parquet


def find_index_writer() -> Callable[[Path, np.ndarray], None]:
    """Returns what writes an index of features `(images, channels)` into a file.

    Neighbors are by the cosine; their keys are the rows' numbers.

    Raises:
        ValueError: It needs a package that is not there.
    """
    try:
        from usearch.index import Index
    except ImportError as error:
        raise ValueError(
            f"{INDEX_ENDING} files need usearch: pip install 'keras-convnext[search]'"
        ) from error

    def write(file: Path, features: np.ndarray) -> None:
        index = Index(ndim=features.shape[1], metric="cos", dtype="f32")
        index.add(np.arange(len(features)), features)
        index.save(file)

    return write


def _write_npz(file: Path, table: dict[str, Any]) -> None:
    np.savez_compressed(file, **table)


def _write_parquet(file: Path, table: dict[str, Any]) -> None:
    import pyarrow
    from pyarrow import parquet

    columns: dict[str, Any] = {
        "path": table["paths"],
        "split": table["split"],
        "label": table["labels"],
        "class": table["classes"][table["labels"]],
    }
    for name in {"features", "probabilities"} & table.keys():
        rows = np.ascontiguousarray(table[name], np.float32)
        columns[name] = pyarrow.FixedSizeListArray.from_arrays(
            rows.reshape(-1), rows.shape[1]
        )
    parquet.write_table(pyarrow.table(columns), file)
