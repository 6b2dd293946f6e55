"""Files at a URL, read in parts: s3://, gs://, or whatever else fsspec opens."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeVar

from keras_convnext._data.data_error import DataError

# Seconds to wait before each further try.
PAUSES = (1.0, 4.0, 15.0)
_FINAL = ("denied", "forbidden", "credential", "no such bucket", "nosuchbucket")
_Result = TypeVar("_Result")


def is_url(named: str) -> bool:
    """Returns True for the name of a place that fsspec opens."""
    return "://" in named


def try_again(call: Callable[..., _Result], *arguments: Any) -> _Result:
    """Calls what a broken connection may fail: four times, within twenty seconds.

    Raises:
        Exception: That of the last try. What is absent or forbidden is asked for once.
    """
    for pause in PAUSES:
        try:
            return call(*arguments)
        # Every store has errors of its own.
        except Exception as error:
            is_final = isinstance(error, (PermissionError, FileNotFoundError))
            if is_final or any(word in str(error).lower() for word in _FINAL):
                raise
            time.sleep(pause)
    return call(*arguments)


def words_of(error: Exception) -> str:
    """Returns what a store says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__


@dataclass(frozen=True)
class RemoteFile:
    """A file at a URL.

    Attributes:
        store: fsspec's file system.
        path: The file's path there.
        url: As it was named, for messages.
        size: In bytes.
    """

    store: Any
    path: str
    url: str
    size: int

    @property
    def name(self) -> str:
        """The last part of its path."""
        return PurePosixPath(self.path).name

    def read(self, start: int | None = None, length: int | None = None) -> bytes:
        """Returns the file, or a part of it.

        Raises:
            DataError: It cannot be read, after several tries.
        """
        end = None if start is None or length is None else start + length
        try:
            found = try_again(self.store.cat_file, self.path, start, end)
        except Exception as error:
            raise DataError(f"{self.url} cannot be read: {words_of(error)}") from error
        return bytes(found)


def list_files(url: str) -> dict[str, RemoteFile]:
    """Returns the files below a URL by their names there.

    Args:
        url: A folder, "s3://bucket/imagenet22k".

    Raises:
        DataError: Nothing opens such a URL, or it cannot be read.
    """
    from fsspec.core import url_to_fs

    url = url.rstrip("/")
    try:
        store, root = url_to_fs(url)
        found = try_again(lambda: store.find(root, detail=True))
    except Exception as error:
        raise DataError(f"{url} cannot be opened: {words_of(error)}") from error
    names = {path: path[len(root) :].lstrip("/") for path in found}
    return {
        name: RemoteFile(store, path, f"{url}/{name}", int(found[path]["size"]))
        for path, name in names.items()
    }
