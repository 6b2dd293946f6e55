"""Images that a person names: files, folders, addresses, and lists of these."""

from __future__ import annotations

import re
import time
import urllib.request
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_convnext._data import archives, class_folders, image_lists
from keras_convnext._files import is_image, legible
from keras_convnext._messages import UsageError, checked
from keras_convnext._stderr import held_bytes, hold_stderr
from keras_convnext.image import evaluation_view
from keras_convnext.image import files as image_files
from keras_convnext.preprocessing import Preprocessing

from .predictions import title

MAX_DOWNLOAD_BYTES = 32 * 2**20
DOWNLOAD_SECONDS = 20.0
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_TABLE = "files:"
_CHUNK_BYTES = 2**16
_THREADS = 4


@dataclass(frozen=True)
class View:
    """An image as it was asked for, or why there is none.

    Attributes:
        name: What it was named.
        image: float32 `(size, size, 3)` in 0..255 as evaluation sees it, or uint8
            `(height, width, 3)` as it is; None where there is a problem.
        problem: A line that names the image; empty where there is none.
        remark: What to know of it, such as "is black throughout"; empty for most.
        is_suspect: Whether a decoder complained meanwhile, of it or of another file.
        shown: Where it is asked for, the whole image to look at, uint8
            `(height, width, 3)`, not larger than was asked for.
        frame: Which frame of a video it is, from 0; None of an image.
        seconds: When it is shown, from the first frame on; None of an image.
    """

    name: str
    image: np.ndarray | None
    problem: str = ""
    remark: str = ""
    is_suspect: bool = False
    shown: np.ndarray | None = None
    frame: int | None = None
    seconds: float | None = None

    @property
    def title(self) -> str:
        """Its name, and of a video the frame and its time."""
        return title(self.name, self.frame, self.seconds)


def list_images(named: Iterable[str]) -> list[str]:
    """Returns the names of single images.

    Args:
        named: Files, addresses (http:// or https://), folders (all images in them
            and below), text files (.txt) with one of these a line, and the images of
            a table of labels (files:LIST.csv).

    Raises:
        UsageError: A folder or a list cannot be read, or has no images in it.
    """
    found: list[str] = []
    for name in named:
        path = Path(name).expanduser()
        if _ADDRESS.match(name):
            found.append(name)
        elif name.startswith(_TABLE):
            place = name.removeprefix(_TABLE)
            listed = checked(image_lists.read, place, target=None)
            found += [str(image.path) for image in listed.images]
        elif checked(archives.is_folder, path):
            found += _in_folder(path)
        elif path.suffix.lower() == ".txt":
            found += _in_list(path)
        else:
            found.append(str(path))
    return found


def _in_folder(folder: Path) -> list[str]:
    if checked(archives.names_in, folder) is None:
        files = sorted(
            str(path) for path in folder.rglob("*") if is_image(path) and path.is_file()
        )
    else:
        files = [str(p) for p in class_folders.files_below(folder) if is_image(p)]
    if not files:
        raise UsageError(f"there are no images in the folder {folder}")
    return files


def _in_list(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the list {path} cannot be read: {error}") from error
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise UsageError(f"the list {path} is empty")
    # A list may lie beside what it names, and be used from elsewhere.
    return list_images(
        name if _ADDRESS.match(name) else str(path.parent / Path(name).expanduser())
        for name in names
    )


def views(
    names: Sequence[str],
    preprocessing: Preprocessing | None,
    batch: int,
    shown_px: int | None = None,
) -> Iterator[list[View]]:
    """Reads images in threads, some at a time, in their order.

    Args:
        names: From `list_images`.
        preprocessing: What the model expects; None for images as they are.
        batch: How many at a time.
        shown_px: The longest side of the images to look at; None for none of them.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        for first in range(0, len(names), batch):
            group = names[first : first + batch]
            # Decoders print their opinion of a file, without a word on which one.
            with hold_stderr(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read = pool.map(
                    lambda name: _read(name, preprocessing, shown_px), group
                )
                seen = [_settled(*each, preprocessing) for each in list(read)]
            yield seen


def view(name: str, preprocessing: Preprocessing) -> View:
    """Reads one image, as training does; never raises for what is wrong with it."""
    return _read(name, preprocessing)[0]


def _settled(seen: View, contents: bytes, preprocessing: Preprocessing | None) -> View:
    """Returns a view with a remark where its file, decoded alone, draws complaints."""
    if not seen.is_suspect or seen.image is None:
        return seen
    again = _decoded(seen.name, contents, preprocessing)
    flawed, _ = image_files.REMARKS["flawed"]
    remark = flawed if again.is_suspect else again.remark
    return replace(again, remark=remark, shown=seen.shown)


def _read(
    name: str, preprocessing: Preprocessing | None, shown_px: int | None = None
) -> tuple[View, bytes]:
    """Returns the view of a file or an address, and its contents."""
    shown = legible(name)
    if problem := image_files.named_problem(Path(name)):
        return View(shown, None, f"{shown}: {problem}"), b""
    try:
        is_address = _ADDRESS.match(name)
        contents = download(name) if is_address else archives.read_bytes(Path(name))
    except (OSError, HTTPException, ValueError) as error:
        # Of a file the reason alone: the name would be there twice.
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return View(shown, None, f"{shown} cannot be read: {reason}"), b""
    return _decoded(shown, contents, preprocessing, shown_px), contents


def _decoded(
    name: str,
    contents: bytes,
    preprocessing: Preprocessing | None,
    shown_px: int | None = None,
) -> View:
    before = held_bytes()
    try:
        found = image_files.decode_file(contents)
    except image_files.Unreadable as error:
        return View(name, None, f"{name}: {error}")
    is_suspect = held_bytes() > before
    remark, _ = image_files.REMARKS.get(found.remark, ("", ""))
    seen = see(name, found.pixels, preprocessing, shown_px)
    return replace(seen, remark=remark, is_suspect=is_suspect)


def see(
    name: str,
    pixels: np.ndarray,
    preprocessing: Preprocessing | None,
    shown_px: int | None = None,
) -> View:
    """Returns the view of an image's pixels.

    Args:
        name: What it was named.
        pixels: uint8 `(height, width, 3)`.
        preprocessing: What the model expects; None for images as they are.
        shown_px: The longest side of the image to look at; None for none.
    """
    image = pixels
    if preprocessing is not None:
        image = evaluation_view(tf.constant(pixels), preprocessing).numpy()
    shown = None if shown_px is None else _at_most(pixels, shown_px)
    return View(name, image, shown=shown)


def _at_most(pixels: np.ndarray, side_px: int) -> np.ndarray:
    """Returns an image whose longer side is as long at most."""
    image = Image.fromarray(pixels)
    image.thumbnail((side_px, side_px))
    return np.asarray(image)


def download(
    address: str,
    max_bytes: int = MAX_DOWNLOAD_BYTES,
    seconds: float = DOWNLOAD_SECONDS,
) -> bytes:
    """Returns the contents of a URL.

    Args:
        address: http:// or https://.
        max_bytes: More is refused, by what the server says and by what it sends.
        seconds: In which all of it has to come.

    Raises:
        OSError: It cannot be had, is too long, or takes too long.
    """
    until = time.monotonic() + seconds
    with _opener().open(address, timeout=seconds) as answer:
        stated = answer.headers.get("Content-Length", "")
        if stated.isdecimal() and int(stated) > max_bytes:
            raise OSError(_too_long(max_bytes))
        contents = bytearray()
        # `read` would wait for all of a chunk, however slowly it comes.
        while part := answer.read1(_CHUNK_BYTES):
            contents += part
            if len(contents) > max_bytes:
                raise OSError(_too_long(max_bytes))
            if time.monotonic() > until:
                raise TimeoutError(f"it did not come within {seconds:g} seconds")
    if stated.isdecimal() and len(contents) < int(stated):
        raise OSError(f"{len(contents):,} of {int(stated):,} bytes came")
    return bytes(contents)


def _too_long(max_bytes: int) -> str:
    return f"it is longer than the {max_bytes / 2**20:g} MB that are fetched"


def _opener() -> urllib.request.OpenerDirector:
    """Returns an opener for http and https only, also after a redirection."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    # Some servers refuse clients that do not name themselves.
    opener.addheaders = [("User-Agent", "keras-convnext")]
    return opener
