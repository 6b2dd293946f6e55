"""Outputs of other implementations as a few numbers each, and their file."""

import json
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
PICKED = 48  # entries recorded of each output


def summary(output: np.ndarray) -> np.ndarray:
    """Returns float32: mean, standard deviation, largest magnitude, picked entries."""
    flat = output.astype("float64").ravel()
    picked = flat[np.linspace(0, flat.size - 1, PICKED).astype(int)]
    return np.array(
        [flat.mean(), flat.std(), np.abs(flat).max(), *picked], dtype="float32"
    )


def deviation(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Returns the largest difference as a share of the reference's largest entry."""
    assert ours.shape == theirs.shape, f"{ours.shape} against {theirs.shape}"
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def write(oracle: str, results: dict[str, dict[str, np.ndarray]], about: dict) -> Path:
    """Writes what was recorded of an oracle, cases by key, and returns the path."""
    rows, numbers = [], []
    for key, outputs in results.items():
        for output, values in outputs.items():
            rows.append((key, output, values.shape))
            numbers.append(summary(values))
    path = FOLDER / f"{oracle}.npz"
    partial = path.with_name(f"{path.stem}.partial.npz")
    index = json.dumps({"about": about, "rows": rows})
    np.savez_compressed(partial, index=np.array(index), numbers=np.array(numbers))
    partial.replace(path)
    return path


Recording = dict[str, dict[str, tuple[tuple[int, ...], np.ndarray]]]


def read(oracle: str) -> tuple[dict[str, str], Recording]:
    """Returns the versions of a recording, and its outputs.

    Returns:
        The versions, and for each case's key its outputs' shapes and summaries.
    """
    with np.load(FOLDER / f"{oracle}.npz") as arrays:
        index, numbers = json.loads(str(arrays["index"])), arrays["numbers"]
    found: Recording = {}
    for (key, output, shape), row in zip(index["rows"], numbers, strict=True):
        found.setdefault(key, {})[output] = (tuple(shape), row)
    return index["about"], found
