"""Writes a table of features: .npz, or .parquet with a row for each image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ENDINGS = (".npz", ".parquet")


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
