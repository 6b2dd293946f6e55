"""A workdir at a URL: s3://, gs:// or whatever else fsspec opens.

The run works in a folder of this machine, its copy. That is fetched before a run begins
or resumes; what has changed is uploaded after each checkpoint and at the end. A file
there is old or new, never half of either: an object store shows an upload when it is
complete, and elsewhere a file gets its name then. The files that a checkpoint needs are
uploaded before it, and metrics.json, which says that a run is finished, comes last.

With its first upload a run leaves a word of its own there, and it ends where it later
finds another one: two machines run the same. So does a run that finds, before its first
upload, what was not there when it began.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_convnext import _files
from keras_convnext._data.remote_files import is_url, try_again, words_of
from keras_convnext._messages import UsageError

from .layout import Workdir

# Those whose uploads appear when they are complete, where renaming is copying.
_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "memory"}
# Beside the copy's files: these were at the URL once.
_WAS_UPLOADED = ".was_uploaded"
# At the URL: the word of the run that writes there.
_WRITER = ".writer"


def open_workdir(named: str) -> Workdir:
    """Returns a workdir: a folder, or the copy of what lies at a URL.

    Args:
        named: What `--workdir` says.

    Raises:
        UsageError: The URL cannot be read; says why, and what to install.
    """
    if not is_url(named):
        return Workdir(Path(named))
    mirror = Mirror(named)
    mirror.fetch()
    return Workdir(mirror.local, mirror.upload)


class Mirror:
    """A folder of this machine and what lies at a URL.

    Args:
        url: Where the files are kept, "s3://bucket/runs/demo".

    Attributes:
        local: The copy, in the user's cache.

    Raises:
        UsageError: There is nothing that opens such a URL.
    """

    def __init__(self, url: str) -> None:
        # Most runs do without it, and it takes a while to load.
        from fsspec.core import url_to_fs

        self.url = url.rstrip("/")
        try:
            self._store, self._root = url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise UsageError(f"--workdir={url} cannot be opened: {error}") from error
        named = hashlib.sha256(self.url.encode()).hexdigest()[:32]
        self.local = _files.cache_home() / "workdirs" / named
        self._uploaded: dict[str, tuple[int, int]] = {}
        self._word = uuid.uuid4().hex.encode()
        self._is_ours = False

    def fetch(self) -> None:
        """Makes the copy what lies at the URL.

        A copy that is further than that, because it could not be uploaded, stays; so
        does one of which nothing was uploaded yet.

        Raises:
            UsageError: It cannot be read.
        """
        there = self._call(self._list, "read")
        if self._is_further(there):
            # Like nothing here, so that it is replaced or removed.
            self._uploaded = dict.fromkeys(there, (-1, -1))
            return
        for name in there:
            path = self.local / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with _files.replacing(path) as partial:
                self._call(self._store.get_file, "read", there[name], str(partial))
        for name in self._local_names():
            if name not in there:
                (self.local / name).unlink()
        self._uploaded = {name: _stamp(self.local / name) for name in there}
        self._note_that_all_is_there(bool(there))

    def upload(self) -> None:
        """Uploads what has changed, and removes what is no longer here.

        Raises:
            UsageError: It cannot be written, after several tries, or another run does.
        """
        self._require_ours()
        here = sorted(self._local_names(), key=_order)
        for name in here:
            stamp = _stamp(self.local / name)
            if self._uploaded.get(name) != stamp:
                self._call(self._put, "written", name)
                self._uploaded[name] = stamp
        for name in self._uploaded.keys() - set(here):
            self._call(self._remove, "written", name)
            del self._uploaded[name]
        self._note_that_all_is_there(bool(here))

    def _require_ours(self) -> None:
        """Makes sure that no other run writes to the URL."""
        word = f"{self._root}/{_WRITER}"
        if self._is_ours:
            is_alone = self._call(self._store.cat_file, "read", word) == self._word
        else:
            is_alone = self._call(self._list, "read").keys() == self._uploaded.keys()
        if not is_alone:
            raise UsageError(
                f"another run uploads to --workdir={self.url}: this one ends, and its "
                f"copy lies in {self.local}. Only one may run at a time"
            )
        if not self._is_ours:
            self._call(self._put_word, "written", word)
            self._is_ours = True

    def _put_word(self, path: str) -> None:
        if not _OBJECT_STORES & set(_protocols(self._store)):
            self._store.makedirs(self._root, exist_ok=True)
        self._store.pipe_file(path, self._word)

    def _note_that_all_is_there(self, is_there: bool) -> None:
        mark = self.local / _WAS_UPLOADED
        if is_there:
            mark.touch()
        else:
            mark.unlink(missing_ok=True)

    def _list(self) -> dict[str, str]:
        """Returns the paths of the files there, by their names below the URL."""
        self._store.invalidate_cache()
        found = self._store.find(self._root)
        names = {path: path[len(self._root) :].lstrip("/") for path in found}
        return {
            name: path
            for path, name in names.items()
            if _files.PARTIAL_SUFFIX not in Path(name).name and name != _WRITER
        }

    def _put(self, name: str) -> None:
        local, path = str(self.local / name), f"{self._root}/{name}"
        if _OBJECT_STORES & set(_protocols(self._store)):
            self._store.put_file(local, path)
            return
        folder, _, last = path.rpartition("/")
        partial = f"{folder}/.{last}{_files.PARTIAL_SUFFIX}"
        self._store.makedirs(folder, exist_ok=True)
        self._store.put_file(local, partial)
        self._store.mv(partial, path)

    def _remove(self, name: str) -> None:
        try:
            self._store.rm_file(f"{self._root}/{name}")
        except FileNotFoundError:
            # A try that failed may have done it.
            return

    def _call(self, call: Callable[..., Any], word: str, *arguments: Any) -> Any:
        """Calls, several times if need be, and returns what comes of it."""
        try:
            return try_again(call, *arguments)
        except Exception as error:
            raise UsageError(
                f"--workdir={self.url} cannot be {word}: {words_of(error)}; what is "
                f"saved lies in {self.local}, and the same command resumes"
            ) from error

    def _local_names(self) -> list[str]:
        files = (path for path in self.local.rglob("*") if path.is_file())
        names = [path.relative_to(self.local).as_posix() for path in files]
        return [name for name in names if not Path(name).name.startswith(".")]

    def _is_further(self, there: dict[str, str]) -> bool:
        """Returns True if the copy has what was never there.

        That is a later checkpoint of the same run, or all of it where nothing lies at
        the URL and nobody has removed it from there.
        """
        if not there:
            return not (self.local / _WAS_UPLOADED).exists()
        recipe = Workdir(self.local).recipe
        if recipe.name not in there or not recipe.is_file():
            return False
        remote = self._call(self._store.cat_file, "read", there[recipe.name])
        newest = max(filter(_is_checkpoint, there), default="")
        ours = max(filter(_is_checkpoint, self._local_names()), default="")
        return bool(remote == recipe.read_bytes() and ours > newest)


def _protocols(store: Any) -> tuple[str, ...]:
    protocol = store.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _stamp(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns


def _is_checkpoint(name: str) -> bool:
    return name.startswith("checkpoints/")


def _order(name: str) -> tuple[int, str]:
    """Returns what sorts the files in the order of their uploads."""
    if name == "metrics.json":
        return 2, name
    return (1 if _is_checkpoint(name) else 0), name
