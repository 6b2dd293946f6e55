"""The pictures on which an export is compared with its model."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .console import Mistake

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")
# Enough to meet a class that is nearly a tie; each is classified a dozen times.
MOST_PICTURES = 128
_GENERATED = 16
_FOLDER_PREFIX = "folder:"


@dataclass(frozen=True)
class Picture:
    """An encoded picture and what it is called."""

    name: str
    contents: bytes


@dataclass(frozen=True)
class Pictures:
    """Pictures and where they are from.

    Attributes:
        origin: In words.
        members: The pictures.
    """

    origin: str
    members: tuple[Picture, ...]


def decoded(name: str, contents: bytes) -> np.ndarray:
    """Returns a picture's pixels, uint8 `(height, width, 3)`.

    Args:
        name: What the picture is called in messages.
        contents: The encoded picture.

    Raises:
        Mistake: It cannot be decoded.
    """
    import tensorflow as tf

    from keras_convnext.image import decode

    try:
        return decode(contents).numpy()
    except tf.errors.InvalidArgumentError as error:
        raise Mistake(f"the picture {name} cannot be decoded") from error


def find(
    wanted: str | None, model: Path | None, rest: Sequence[Path] = (), seed: int = 0
) -> Pictures:
    """Returns the pictures to compare on.

    Args:
        wanted: `folder:PATH`, searched with its subfolders, or nothing: then `rest`,
            failing that those that training put beside the model, and failing that
            generated ones.
        model: The model's file, if it is one.
        rest: Files that calibration did not need.
        seed: Of the choice, where there are more than are needed.

    Raises:
        Mistake: The folder is missing or holds no picture.
    """
    if wanted is None:
        if rest:
            return _read("the calibration folder's others", list(rest), seed)
        files = []
        if model is not None:
            samples = model.parent / "pictures" / "samples"
            files = files_in(samples)
        if files:
            return _read(f"{len(files)} pictures of {samples}", files, seed)
        return _generated(seed)
    if not wanted.startswith(_FOLDER_PREFIX):
        raise Mistake(f"--pictures={wanted}: expected folder:PATH")
    folder = Path(wanted.removeprefix(_FOLDER_PREFIX)).expanduser()
    if not folder.is_dir():
        raise Mistake(f"--pictures: there is no folder {folder}")
    files = files_in(folder)
    if not files:
        raise Mistake(f"--pictures: {folder} holds no {', '.join(SUFFIXES)} file")
    return _read(str(folder), files, seed)


def files_in(folder: Path) -> list[Path]:
    """Returns the picture files in a folder and its subfolders, in order."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def _read(origin: str, files: list[Path], seed: int) -> Pictures:
    chosen = files
    if len(files) > MOST_PICTURES:
        picks = np.random.default_rng(seed).choice(
            len(files), MOST_PICTURES, replace=False
        )
        chosen = [files[pick] for pick in sorted(picks)]
    return Pictures(
        origin, tuple(Picture(path.name, path.read_bytes()) for path in chosen)
    )


def _generated(seed: int) -> Pictures:
    """Returns pictures of coloured waves: smooth as photographs are, and no two alike.

    Noise would not do: a classifier gives the same answer for all of it.
    """
    generator = np.random.default_rng(seed)
    members = []
    for index in range(_GENERATED):
        height, width = generator.integers(160, 320, 2)
        rows, columns = np.mgrid[0:height, 0:width]
        waves = [
            np.sin(rows * down + columns * across + phase)
            for down, across, phase in generator.uniform(-0.2, 0.2, (3, 3)) * (1, 1, 20)
        ]
        pixels = np.uint8(np.rint(127.5 + 127.5 * np.stack(waves, -1)))
        file_format = ("PNG", "JPEG")[index % 2]
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format=file_format)
        name = f"generated_{index:02d}.{file_format.lower()}"
        members.append(Picture(name, file.getvalue()))
    return Pictures(f"{_GENERATED} generated pictures", tuple(members))
