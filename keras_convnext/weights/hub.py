"""Fetches a file from a repository on the Hugging Face hub."""

from __future__ import annotations

import socket
import string
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from huggingface_hub import hf_hub_download
from huggingface_hub.constants import ENDPOINT
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from keras_convnext.weights.download import (
    NO_NETWORK,
    TRY_AGAIN,
    RetryPolicy,
    digest,
    seconds_asked_for,
)
from keras_convnext.weights.errors import DownloadError

_SHA256_DIGITS = 64
# Not every release of the hub's client tries again, nor after every failure.
_RETRY_POLICY = RetryPolicy(attempts=3)


def download_from_hub(
    hub_id: str,
    files: tuple[str, ...],
    *,
    cache: Path | None = None,
    before: Callable[[], None] = lambda: None,
    endpoint: str | None = None,
) -> Path:
    """Returns the path of a repository's file, having fetched it if need be.

    What is in the cache is used without asking the network.

    Args:
        hub_id: "owner/name".
        files: Names that it may have; the first that exists counts.
        cache: Folder for what is fetched; the hub's own cache unless given.
        before: Called before something is fetched, not if the cache has it.
        endpoint: Another server that speaks as the hub does.

    Raises:
        DownloadError: It could not be had, or is not what the hub says it is.
    """
    for name in files:
        try:
            return Path(
                hf_hub_download(hub_id, name, cache_dir=cache, local_files_only=True)
            )
        except LocalEntryNotFoundError:
            continue
    _check_network(hub_id, endpoint or ENDPOINT)
    before()
    for name in files:
        try:
            path = _fetch(hub_id, name, cache, endpoint)
        except GatedRepoError as error:
            raise DownloadError(
                f"{hub_id} is a gated repository: accept its terms on the Hub, then "
                "log in with `hf auth login`."
            ) from error
        except RepositoryNotFoundError as error:
            raise DownloadError(
                f"The hub has no repository {hub_id}, or does not show it to you."
            ) from error
        except LocalEntryNotFoundError as error:
            raise DownloadError(
                f"{hub_id}/{name} is not in the cache and the hub cannot be reached."
            ) from error
        except EntryNotFoundError:
            continue
        # What breaks a connection is called otherwise in every release.
        except Exception as error:
            first_line = (str(error).splitlines() or [type(error).__name__])[0]
            raise DownloadError(f"{hub_id}/{name}: {first_line}") from error
        return _verified(Path(path), f"{hub_id}/{name}")
    raise DownloadError(f"{hub_id} has none of the files {', '.join(files)}.")


def _fetch(hub_id: str, name: str, cache: Path | None, endpoint: str | None) -> str:
    for attempt in range(1, _RETRY_POLICY.attempts):
        try:
            return hf_hub_download(hub_id, name, cache_dir=cache, endpoint=endpoint)
        except Exception as error:
            if not _may_pass(error):
                raise
            headers = getattr(getattr(error, "response", None), "headers", {})
            asked_s = seconds_asked_for(headers.get("Retry-After"))
            pause_s = max(_RETRY_POLICY.pause_s * 2**attempt, asked_s)
            time.sleep(min(pause_s, _RETRY_POLICY.longest_pause_s))
    return hf_hub_download(hub_id, name, cache_dir=cache, endpoint=endpoint)


def _may_pass(error: Exception) -> bool:
    """Whether another attempt may end better than with this error."""
    if isinstance(error, EntryNotFoundError | RepositoryNotFoundError):
        return False
    if isinstance(error, OSError) and error.errno is not None:
        return False  # this machine's, such as a full disk
    response = getattr(error, "response", None)
    return response is None or response.status_code in TRY_AGAIN


def _check_network(hub_id: str, endpoint: str) -> None:
    """Says at once that there is no network; the hub's library tries for a minute."""
    if getproxies():
        return
    try:
        socket.getaddrinfo(urlsplit(endpoint).hostname, None)
    except socket.gaierror as error:
        raise DownloadError(f"{hub_id} is not in the cache: {NO_NETWORK}.") from error


def _verified(path: Path, name: str) -> Path:
    """Compares a fetched file with the checksum that the hub keeps it under."""
    blob = path.resolve()
    is_sha256 = len(blob.name) == _SHA256_DIGITS and not (
        set(blob.name) - set(string.hexdigits)
    )
    if is_sha256 and digest(blob, "sha256") != blob.name.lower():
        path.unlink()
        blob.unlink(missing_ok=True)
        raise DownloadError(
            f"{name} is not the file that the hub says it is (its sha256 differs). It "
            "was deleted."
        )
    return path
