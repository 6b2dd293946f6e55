"""Checks the image files of a data set: once, with a count where that takes long."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TextIO, TypeVar

from keras_convnext._data.class_folders import remark
from keras_convnext._files import AnyPath, first_few
from keras_convnext._stderr import hold_stderr
from keras_convnext.image import files as image_files

from . import check_memory
from . import image_files as images

# Images that take longer to check than this get a line that counts them.
_QUIET_SECONDS = 2.0
# Between two such lines in a log file.
_LOG_SECONDS = 30.0
_Answer = TypeVar("_Answer")


class Unusable(Protocol):
    """A file that cannot be used, and why."""

    @property
    def path(self) -> Path | str:
        """The file."""

    @property
    def problem(self) -> str:
        """Why it cannot be used."""


def unreadable(bad: Sequence[Unusable], total: int, noun: str = "images") -> str:
    """Returns what to say of files that cannot be used."""
    lines = first_few(
        (f"{image.path}: {image.problem}" for image in bad), separator="\n  "
    )
    return (
        f"{len(bad)} of {total} {noun} cannot be used (--skip_bad_images leaves "
        f"them out):\n  {lines}"
    )


def check_files(
    root: Path, files: Sequence[AnyPath], cache: Path
) -> dict[AnyPath, images.CheckedImage]:
    """Returns the check of each file, after decoding those that are new.

    Args:
        root: The data folder, for which the results are kept.
        files: The files.
        cache: Folder for copies of what TensorFlow cannot read, and for the results.

    Raises:
        DataError: A copy cannot be written.
    """
    copies = cache / "pictures"
    place = check_memory.place_for(root, cache / "checks")
    known = check_memory.read(place, files, copies)
    new = [file for file in files if file not in known]
    # Decoders print their opinion of a file, without a word on which one they mean.
    with hold_stderr() as stderr:
        try:
            answers = images.check([Path(file) for file in new], copies)
            counted = count_checks(answers, len(new), stderr)
            known.update(zip(new, counted, strict=True))
            for file, image in known.items():
                if image.is_suspect:
                    known[file] = images.settle(image, copies)
        finally:
            # What an interrupted check has found out is not found out again.
            if new:
                check_memory.write(place, known.values())
    return {file: known[file] for file in files}


def count_checks(
    answers: Iterable[_Answer], total: int, stderr: TextIO, noun: str = "images"
) -> Iterator[_Answer]:
    """Passes the answers on; where that takes long, lines on stderr count them."""
    is_terminal = stderr.isatty()
    start, end, pause = ("\r", "", 0.5) if is_terminal else ("", "\n", _LOG_SECONDS)
    shown_at = time.monotonic() + (_QUIET_SECONDS if is_terminal else _LOG_SECONDS)
    shown = False
    for done, answer in enumerate(answers, 1):
        yield answer
        if time.monotonic() > shown_at:
            words = f"{start}Checking {noun}: {done:,} of {total:,}"
            print(words, end=end, file=stderr, flush=True)
            shown_at, shown = time.monotonic() + pause, True
    if shown:
        print(f"{start}Checked {total:,} {noun}.{' ' * 20}".rstrip(), file=stderr)


def remarks(checked: Iterable[images.CheckedImage]) -> list[str]:
    """Returns a line for each thing to know of files that are used all the same."""
    noted = [image for image in checked if image.remark]
    found = [
        ([image.path for image in noted if image.remark == kind], words)
        for kind, words in image_files.REMARKS.items()
    ]
    return [remark(files, *words) for files, words in found if files]
