"""Listing class folders: this library against `os.walk`, in seconds.

    python benchmarks/scan_time.py

Makes empty files in a temporary folder, `--files` of them in `--classes` class folders,
and lists them by turns (A B A B): `walk` counts the files that `os.walk` finds,
`library` does what `--data=folder:DIR` begins with, before any file is opened: it finds
the parts, tells images from other files and keeps their sorted paths by class. The
folder is in the system's cache. Times are the processor's, which other work on the
machine disturbs less; the ratio is the median over the turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_convnext._data import class_folders


def make(root: Path, files: int, classes: int) -> None:
    """Makes empty files, as evenly over the class folders as may be."""
    for number in range(files):
        folder = root / f"class_{number % classes:04d}"
        if number < classes:
            folder.mkdir()
        (folder / f"image_{number // classes:06d}.jpg").touch()


def walk(root: Path) -> int:
    """Returns how many files `os.walk` finds."""
    return sum(len(files) for _, _, files in os.walk(root))


def library(root: Path) -> class_folders.ClassFolders:
    """Returns the class folders, as a training run lists them."""
    found, _ = class_folders.find_roots(root)
    return class_folders.list_class_folders(found)


def seconds(call: Callable[[Path], Any], root: Path) -> tuple[float, Any]:
    """Returns how long a call takes, and what it returns."""
    begin = time.process_time()
    result = call(root)
    return time.process_time() - begin, result


def main() -> None:
    """Measures and prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    if not 0 < options.classes <= options.files or options.rounds < 1:
        parser.error("wanted at least one round, one class, and a file for each class")
    walks, lists = [], []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make(root, options.files, options.classes)
        for _ in range(options.rounds):
            taken, found = seconds(walk, root)
            walks.append(taken)
            taken, listed = seconds(library, root)
            lists.append(taken)
            if not found == len(listed.files) == options.files:
                raise SystemExit(f"{found} and {len(listed.files)} files were found")
    ratios = [mine / theirs for mine, theirs in zip(lists, walks, strict=True)]
    print(
        json.dumps(
            {
                "files": options.files,
                "walk_s": round(statistics.median(walks), 3),
                "library_s": round(statistics.median(lists), 3),
                "ratio": round(statistics.median(ratios), 2),
            }
        )
    )


if __name__ == "__main__":
    main()
