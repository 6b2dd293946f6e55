"""Files made out of sight, moved to their place when all of them are good."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from keras_convnext._messages import UsageError

_PREFIX = ".export-"


class Staging:
    """A hidden folder inside of the output folder, on the same file system.

    Leaving the context removes it, and the output folder too where this run made it
    and nothing was put there.

    Args:
        out: The output folder; made where missing.

    Raises:
        UsageError: The folder cannot be made or written to.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self._made: list[Path] = []
        try:
            missing = [path for path in (out, *out.parents) if not path.exists()]
            for path in reversed(missing):
                path.mkdir()
                self._made.insert(0, path)
            self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=out))
        except OSError as error:
            self._remove_made()
            raise UsageError(
                f"--out={out} cannot be written to: {error.strerror}"
            ) from error

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self._remove_made()

    def _remove_made(self) -> None:
        for path in self._made:
            if any(path.iterdir()):
                return
            path.rmdir()

    def publish(self, name: str) -> None:
        """Moves a file or a folder to its place in the output folder.

        Args:
            name: Its path inside of the hidden folder, and there. A file of that
                name is replaced at once; a folder is not.

        Raises:
            OSError: A folder of that name is there.
        """
        place = self.out / name
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(self.folder / name, place)
