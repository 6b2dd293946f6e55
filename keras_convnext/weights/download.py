"""Fetches a file over HTTP so that it is either there and right, or not there.

What has arrived lies in "<name>.part" and is continued where it stopped; only a
file of the right length and checksum gets its own name. A lock makes a second
process wait for the first instead of fetching the same again.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import socket
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import filelock
import tqdm  # type: ignore[import-untyped]

from keras_convnext.weights.errors import DownloadError

NO_NETWORK = (
    "the server's name cannot be resolved, so there is no network; fetch the file "
    "elsewhere and give its path instead of the name"
)
_CHUNK_BYTES = 1 << 20
# Answers that another attempt may change.
TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
# More than twice the largest published ConvNeXt; a stream that never ends stops here.
_LARGEST_BYTES = 8 << 30
_MEANINGS = {
    401: "the server wants you to log in",
    403: "the server does not allow it",
    404: "there is no such file on the server",
    410: "the file is no longer on the server",
    429: "the server says that too much was asked of it",
}


@dataclass(frozen=True)
class RetryPolicy:
    """How long a download keeps trying.

    Attributes:
        attempts: How often a request is made before giving up.
        timeout_s: How long nothing may arrive.
        pause_s: Wait before the second attempt; it doubles from one to the next.
        longest_pause_s: Longest wait, whatever a server asks for.
    """

    attempts: int = 5
    timeout_s: float = 30.0
    pause_s: float = 1.0
    longest_pause_s: float = 60.0


class _RetryableError(Exception):
    """This attempt failed; the next one may not."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to http."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise DownloadError(f"{req.full_url} redirects to {newurl}: not followed.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(
    url: str,
    path: Path,
    *,
    checksum: str | None = None,
    size_bytes: int | None = None,
    retry_policy: RetryPolicy | None = None,
) -> Path:
    """Returns `path`, having fetched it from `url` if it is not there yet.

    Args:
        url: Where the file is.
        path: Where it is to lie; its folder is made.
        checksum: "<algorithm>:<hexadecimal digits>", all or the first of them.
        size_bytes: Its length, where that is known beforehand.
        retry_policy: How long to keep trying.

    Raises:
        DownloadError: It could not be had, or is not what it should be. What has
            arrived of a file that was cut short is kept to be continued.
    """
    if path.exists():
        return path
    retry_policy = retry_policy or RetryPolicy()
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{path}.lock"):
            # Another process may have fetched it while this one waited.
            if not path.exists():
                _fetch(url, part, size_bytes, retry_policy)
                _verify(url, part, checksum)
                os.replace(part, path)
                _validator_file(part).unlink(missing_ok=True)
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(f"{path} cannot be written: {error}.") from error
    return path


def _fetch(
    url: str, part: Path, size_bytes: int | None, retry_policy: RetryPolicy
) -> None:
    reason = ""
    for attempt in range(retry_policy.attempts):
        try:
            _attempt(url, part, size_bytes, retry_policy.timeout_s)
            return
        except _RetryableError as failure:
            reason = str(failure)
            pause = max(retry_policy.pause_s * 2**attempt, failure.wait_s)
        if attempt + 1 < retry_policy.attempts:
            time.sleep(min(pause, retry_policy.longest_pause_s))
    kept = part.stat().st_size if part.exists() else 0
    raise DownloadError(
        f"{url} could not be fetched in {retry_policy.attempts} attempts: {reason}. "
        f"{kept:,} bytes are kept; the next call resumes there."
    )


def _attempt(url: str, part: Path, size_bytes: int | None, timeout_s: float) -> None:
    """Makes one request and writes what comes to the end of `part`."""
    try:
        with _open(url, part, timeout_s) as response:
            start = _start(response, part)
            _remember_validator(response, part)
            total = _total_bytes(response, start)
            _check_length(url, total, size_bytes, part)
            _write(response, part, start, total)
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise _RetryableError(_words(error)) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, socket.gaierror):
            # No name server knows it, or none answers; it will not in a second either.
            raise DownloadError(f"{url}: {NO_NETWORK}.") from error
        raise _RetryableError(_words(error.reason)) from error
    arrived = part.stat().st_size
    if total is not None and arrived != total:
        raise _RetryableError(f"the connection ended after {arrived:,} of {total:,}")


def _open(url: str, part: Path, timeout_s: float) -> http.client.HTTPResponse:
    headers = {"User-Agent": "keras-convnext", "Accept-Encoding": "identity"}
    validator = _validator(part)
    arrived = part.stat().st_size if part.exists() else 0
    if validator and arrived:
        # Only continues if the file on the server is still the same one.
        headers["Range"] = f"bytes={arrived}-"
        headers["If-Range"] = validator
    request = urllib.request.Request(url, headers=headers)
    try:
        opener = urllib.request.build_opener(_SafeRedirects)
        response: http.client.HTTPResponse = opener.open(request, timeout=timeout_s)
        return response
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
            raise _RetryableError("the server cannot resume there") from error
        meaning = _MEANINGS.get(error.code, error.reason)
        if error.code in TRY_AGAIN:
            wait_s = seconds_asked_for(error.headers.get("Retry-After"))
            raise _RetryableError(f"{meaning} ({error.code})", wait_s) from error
        raise DownloadError(f"{url}: {meaning} ({error.code}).") from error


def seconds_asked_for(retry_after: str | None) -> float:
    """Returns how long a busy server asks to be left alone, in seconds."""
    return float(retry_after) if retry_after and retry_after.isdigit() else 0.0


def _start(response: http.client.HTTPResponse, part: Path) -> int:
    """Returns from which byte on the response goes, making `part` as long."""
    start = 0
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        first = response.headers.get("Content-Range", "").removeprefix("bytes ")
        begin = first.partition("-")[0]
        start = int(begin) if begin.isdigit() else 0
        if not part.exists() or start != part.stat().st_size:
            part.unlink(missing_ok=True)
            raise _RetryableError("the server resumed at another place")
    else:
        part.write_bytes(b"")
    return start


def _total_bytes(response: http.client.HTTPResponse, start: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    return start + int(length) if length.isdigit() else None


def _check_length(
    url: str, total: int | None, size_bytes: int | None, part: Path
) -> None:
    if total is None:
        return
    if total > _LARGEST_BYTES or (size_bytes is not None and total != size_bytes):
        part.unlink(missing_ok=True)
        wanted = f"{size_bytes:,}" if size_bytes else f"at most {_LARGEST_BYTES:,}"
        raise DownloadError(f"{url} is {total:,} bytes long; {wanted} were expected.")
    free = shutil.disk_usage(part.parent).free
    missing = total - part.stat().st_size
    if missing > free:
        raise DownloadError(
            f"{part.parent} has {free:,} bytes left; {missing:,} are needed for {url}."
        )


def _write(
    response: http.client.HTTPResponse, part: Path, start: int, total: int | None
) -> None:
    name = part.name.removesuffix(".part")
    with (
        part.open("ab") as file,
        # disable=None: no bar where nobody looks, in logs and pipes.
        tqdm.tqdm(
            desc=name, total=total, initial=start, unit="B", unit_scale=True,
            unit_divisor=1024, disable=None,
        ) as bar,
    ):  # fmt: skip
        # `read1` gives what has come; `read` would lose it if the rest does not.
        while chunk := response.read1(_CHUNK_BYTES):
            file.write(chunk)
            bar.update(len(chunk))
            if file.tell() > _LARGEST_BYTES:
                raise DownloadError(f"{name} does not end; {_LARGEST_BYTES:,} came.")
        file.flush()
        os.fsync(file.fileno())


def _verify(url: str, part: Path, checksum: str | None) -> None:
    if checksum is None:
        return
    found = digest(part, checksum.partition(":")[0])
    wanted = checksum.partition(":")[2]
    if not found.startswith(wanted):
        part.unlink()
        _validator_file(part).unlink(missing_ok=True)
        raise DownloadError(
            f"{url} is not the file that was published: its checksum begins with "
            f"{found[:16]}, the published one with {wanted[:16]}. It was deleted."
        )


def digest(path: Path, algorithm: str) -> str:
    """Returns a file's checksum in hexadecimal digits.

    Args:
        path: The file.
        algorithm: As `hashlib` calls it, for example "sha256".
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _validator_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _validator(part: Path) -> str:
    """Returns the server's word for the version that `part` is a part of."""
    path = _validator_file(part)
    return path.read_text(encoding="latin-1") if path.exists() else ""


def _remember_validator(response: http.client.HTTPResponse, part: Path) -> None:
    etag = response.headers.get("ETag", "")
    # A weak tag ("W/...") says alike, not equal, and may not be used for a range.
    strong = "" if etag.startswith("W/") else etag
    validator = strong or response.headers.get("Last-Modified", "")
    _validator_file(part).write_text(validator, encoding="latin-1")


def _words(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "nothing came for too long"
    return str(error) or type(error).__name__
