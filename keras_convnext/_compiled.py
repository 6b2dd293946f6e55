"""What XLA compiles, kept in the user's cache for the next start of a command."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import sys
from collections.abc import MutableMapping
from importlib import metadata
from pathlib import Path

from keras_convnext._files import cache_home

_CPUINFO = Path("/proc/cpuinfo")
_VARIABLE = "TF_XLA_FLAGS"
# Not of GPUs, of which nothing tells two kinds apart.
_FLAGS = (
    "--tf_xla_persistent_cache_device_types=CPU --tf_xla_persistent_cache_directory="
)
# TensorFlow stops where it cannot write a program: a start on a full disk keeps none.
_LEAST_FREE_BYTES = 2**30
# Programs of some 50 kB: thousands of shapes.
_MOST_BYTES = 2**29


def folder(compiler: str) -> Path:
    """Returns where a compiler's programs are kept.

    A folder for each kind of processor: what is compiled for one may need
    instructions that another, with the same home, does not have.

    Args:
        compiler: A name with its version, which programs are made for.
    """
    return cache_home() / compiler / _kind_of_processor()


def keep_of_tensorflow(
    environment: MutableMapping[str, str] = os.environ, system: str = sys.platform
) -> None:
    """Has TensorFlow keep its programs; to be called before it is loaded.

    A person who has set TF_XLA_FLAGS, to nothing too, has decided.

    Args:
        environment: Of this process.
        system: As `sys.platform`. Only on Linux has this been tried.
    """
    if system != "linux" or _VARIABLE in environment:
        return
    # RuntimeError: there is no home.
    with contextlib.suppress(OSError, RuntimeError, metadata.PackageNotFoundError):
        kept = folder(f"tensorflow-{metadata.version('tensorflow')}")
        kept.mkdir(parents=True, exist_ok=True)
        _empty_if_large(kept)
        is_safe = os.access(kept, os.W_OK | os.X_OK) and " " not in str(kept)
        if is_safe and shutil.disk_usage(kept).free > _LEAST_FREE_BYTES:
            environment[_VARIABLE] = f"{_FLAGS}{kept}"


def _empty_if_large(kept: Path) -> None:
    files = [entry for entry in os.scandir(kept) if entry.is_file()]
    if sum(file.stat().st_size for file in files) > _MOST_BYTES:
        for file in files:
            Path(file).unlink(missing_ok=True)


def _kind_of_processor() -> str:
    """Returns a short name for what this machine's processor can do."""
    words = platform.machine() + platform.processor()
    if _CPUINFO.is_file():
        lines = _CPUINFO.read_text(errors="replace").splitlines()
        found = (line for line in lines if line.lower().startswith(("flags", "feat")))
        words += next(found, "")
    return hashlib.sha256(words.encode()).hexdigest()[:12]
