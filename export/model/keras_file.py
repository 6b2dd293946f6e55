"""Finds the model's file, before anything slow is loaded."""

from __future__ import annotations

import zipfile
from pathlib import Path

from keras_convnext._messages import UsageError

NAME = "model.keras"
# Endings of files that keras_convnext.load_weights reads.
_WEIGHTS = (".safetensors", ".pth", ".pt", ".bin", ".npz", ".h5")


def names_a_checkpoint(named: str) -> bool:
    """Returns True if a name is like "convnext_tiny.fb_in1k" and no file's.

    Args:
        named: What stands behind --model.
    """
    path = Path(named)
    is_bare = path.name == named and "." in named
    return is_bare and path.suffix != ".keras" and not path.exists()


def find(named: str) -> Path:
    """Returns the model's file.

    Args:
        named: A .keras file, or a folder with a `model.keras`.

    Raises:
        UsageError: The file does not exist or is not a .keras file.
    """
    path = Path(named).expanduser()
    if path.is_dir():
        path = path / NAME
    if not path.is_file():
        raise UsageError(
            f"no model at {path}: --model takes a .keras file, a training workdir or "
            "a checkpoint's name such as convnext_tiny.fb_in1k"
        )
    if path.suffix in _WEIGHTS:
        return path
    if not zipfile.is_zipfile(path):
        raise UsageError(f"{path} is not a .keras file (it is no zip archive)")
    with zipfile.ZipFile(path) as archive:
        if "config.json" not in archive.namelist():
            raise UsageError(f"{path} is not a .keras file (no config.json inside)")
    return path
