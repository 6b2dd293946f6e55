"""Names for the files that a command writes about its images."""

from __future__ import annotations

import re
from pathlib import Path

# Letters, digits and what stands between them, in any script.
_NO_NAME = re.compile(r"[^\w.-]+")


class FileStems:
    """Gives each image the stem of its files' names, all of them different."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def new(self, name: str, frame: int | None = None) -> str:
        """Returns a file's name without its ending that no other image has.

        Args:
            name: What the image was named: a path or an address.
            frame: Its number in a video of that name; None of an image.
        """
        plain = _NO_NAME.sub("_", Path(name.partition("?")[0]).stem) or "image"
        if frame is not None:
            plain += f"_{frame:06}"
        stem, number = plain, 1
        while stem in self._given:
            number += 1
            stem = f"{plain}_{number}"
        self._given.add(stem)
        return stem
