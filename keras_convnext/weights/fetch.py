"""From a record to a file on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from keras_convnext._files import cache_home
from keras_convnext.weights.download import download
from keras_convnext.weights.pretrained import PretrainedWeights
from keras_convnext.weights.user_warning import warn_user

HOME_VARIABLE = "KERAS_CONVNEXT_HOME"
_HUB = "https://huggingface.co"


def home() -> Path:
    """Returns the folder for what is fetched: $KERAS_CONVNEXT_HOME, or a cache."""
    if os.environ.get(HOME_VARIABLE):
        return Path(os.environ[HOME_VARIABLE]).expanduser()
    return cache_home()


def fetch(record: PretrainedWeights) -> Path:
    """Returns the path of a published checkpoint, fetching it the first time.

    Files from the hub lie in the hub's own cache, shared with other libraries,
    unless $KERAS_CONVNEXT_HOME is set.

    Raises:
        DownloadError: It could not be had, or is not what was published.
    """
    if record.url is not None:
        path = home() / record.publisher / record.files[0]
        if not path.exists():
            _say_license(record)
        return download(
            record.url, path, checksum=record.checksum, size_bytes=record.size_bytes
        )
    assert record.hub_id is not None  # a record has one or the other
    # The hub's client takes as long to import as all the rest of this package.
    from keras_convnext.weights.hub import download_from_hub

    cache = home() / "hub" if os.environ.get(HOME_VARIABLE) else None
    return download_from_hub(
        record.hub_id, record.files, cache=cache, before=lambda: _say_license(record)
    )


def describe_manual_fetch(record: PretrainedWeights, flag: str) -> str:
    """Returns how to fetch a checkpoint on another machine, in a sentence.

    Args:
        record: The checkpoint.
        flag: The flag that takes the file here, such as "--weights".
    """
    name = record.files[0]
    page = address = record.url or f"{_HUB}/{record.hub_id}"
    if record.url is None:
        address = f"{page}/resolve/main/{name}"
    kept = f"{record.name}{Path(name).suffix}"
    return (
        f"On a machine with a network, `curl -L -o {kept} {address}` fetches {name} of "
        f"{page}; copied here it is {flag}={kept}"
    )


def _say_license(record: PretrainedWeights) -> None:
    """Warns once, before the first byte, of terms that forbid commercial use."""
    if record.is_non_commercial or record.is_gated:
        limits = "not for commercial use" if record.is_non_commercial else "own terms"
        warn_user(f"The weights {record.name} are licensed {record.license}: {limits}.")
