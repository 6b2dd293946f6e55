"""Finds the files in a folder and in those inside it, in little more time than os.walk.

Their paths are text: path objects for 200,000 files take two seconds, and the names a
tenth of one.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from keras_convnext._data import archives
from keras_convnext._files import IMAGE_SUFFIXES, is_hidden, is_image

_USUAL = IMAGE_SUFFIXES | {suffix.upper() for suffix in IMAGE_SUFFIXES}
# In no path, so that an ending and this are only where a path ends.
_END = "\0"


class Place(NamedTuple):
    """What lies in one folder.

    Attributes:
        folder: Its path.
        images: Sorted paths of the image files.
        others: Sorted paths of the other files.
    """

    folder: str
    images: list[str]
    others: list[str]


def scan(root: Path) -> Iterator[Place]:
    """Yields a folder and those inside it; hidden files and folders count as absent.

    Args:
        root: A folder, an archive, or a folder in one. Links are followed.

    Raises:
        OSError: A folder cannot be read.
    """
    seen: set[str] = set()
    for folder, folders, paths in archives.walk(root):
        # A link may lead back to a folder above it.
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not is_hidden(name)]
        paths.sort()
        before = os.path.join(folder, "")
        # Names that begin with a dot are all in one place.
        dot, next_character = before + ".", before + chr(ord(".") + 1)
        del paths[bisect_left(paths, dot) : bisect_left(paths, next_character)]
        yield Place(folder, *_divide(paths))


def in_order(path: str) -> str:
    """Returns what sorts paths as path objects are: by their folders, one by one."""
    return path.replace(os.sep, _END)


def _divide(paths: list[str]) -> tuple[list[str], list[str]]:
    """Returns the images among some paths, and the other files that are not hidden."""
    if not paths:
        return [], []
    ending = os.path.splitext(paths[0])[1]
    # Most folders hold one kind of image and nothing else: no path is looked at twice.
    if ending in _USUAL:
        ends = _END.join((*paths, ""))
        if ends.count(ending + _END) == len(paths):
            return paths, []
    images, others = [], []
    for path in paths:
        if path[path.rfind(".") :] in _USUAL or is_image(path):
            images.append(path)
        elif not is_hidden(os.path.basename(path)):
            others.append(path)
    return images, others
