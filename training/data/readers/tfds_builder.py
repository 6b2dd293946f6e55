"""A data set of tensorflow-datasets is opened, prepared and divided."""

from __future__ import annotations

import contextlib
import difflib
import io
import logging as standard_logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from keras_convnext._data.data_error import DataError, SplitError
from keras_convnext._data.forms import prepared_in

_EVALUATION_SPLITS = ("validation", "test")


@contextlib.contextmanager
def silence(prints_too: bool = False) -> Iterator[None]:
    """Holds back tensorflow-datasets' warnings, and on request all that it prints."""
    from absl import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    # It counts its attempts in a line each.
    standard_logging.getLogger("urllib3").setLevel(standard_logging.ERROR)
    try:
        with contextlib.ExitStack() as stack:
            if prints_too:
                stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
                stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            yield
    finally:
        logging.set_verbosity(before)


def open_builder(name: str, data_dir: str | None) -> Any:
    """Returns the data set of that name, prepared or not.

    Args:
        name: What tensorflow-datasets calls it, or the folder that it was prepared in.
        data_dir: Where prepared data sets lie; None for tensorflow-datasets' own place.

    Raises:
        DataError: There is none, or it cannot be used.
    """
    import tensorflow_datasets as tfds

    prepared = prepared_in(name)
    try:
        if prepared is not None:
            return tfds.builder_from_directory(prepared)
        return tfds.builder(name, data_dir=data_dir, try_gcs=False)
    except tfds.core.DatasetNotFoundError as error:
        near = difflib.get_close_matches(name, tfds.list_builders(), 3)
        hint = f"Near names: {', '.join(near)}. " if near else ""
        raise DataError(
            f"tensorflow-datasets has no data set {name!r}. {hint}Your own images "
            "are named folder:PATH."
        ) from error
    # A data set's own module may fail in any way: missing packages, wrong names.
    except Exception as error:
        raise DataError(f"{name!r} cannot be used: {_one_line(error)}") from error


def refuse_array_record(name: str, builder: Any, what: str) -> None:
    """Makes sure that records can be read as a stream.

    Args:
        name: As `open_builder` takes it.
        builder: From `open_builder`.
        what: What is joined to the images.

    Raises:
        DataError: They are prepared as ArrayRecord.
    """
    if is_array_record(builder):
        raise DataError(
            f"{name!r} is prepared as ArrayRecord, of which {what} are not read; "
            "prepare it as tfrecord."
        )


def prepared_splits(
    name: str, builder: Any, validation_share: float, whole: str | None
) -> tuple[str, ...]:
    """Prepares a data set where that has not been done, and returns its splits.

    Args:
        name: As `open_builder` takes it.
        builder: From `open_builder`.
        validation_share: Part of the training split that evaluation gets where there is
            no other.
        whole: "test" or "all": that part alone; None for both.

    Returns:
        Those of training and of validation, or one, in tensorflow-datasets' words.

    Raises:
        DataError: It cannot be prepared, or has no such splits.
    """
    _prepare(name, builder)
    if whole is not None:
        return (_whole_words(name, builder.info, whole),)
    return _split_words(name, builder.info, validation_share)


def _prepare(name: str, builder: Any) -> None:
    """Downloads and prepares where that has not been done.

    Raises:
        DataError: It cannot be.
    """
    if builder.info.splits:
        return
    _check_network(name, builder)
    try:
        builder.download_and_prepare()
    # tensorflow-datasets lets through whatever its many builders raise.
    except Exception as error:
        raise DataError(
            f"{name!r} is not prepared in {builder.data_dir} and could not be: "
            f"{_one_line(error)}"
        ) from error


def _check_network(name: str, builder: Any) -> None:
    """Says at once that there is no network; tensorflow-datasets tries for minutes.

    Raises:
        DataError: Nothing has been fetched yet and the servers cannot be found.
    """
    # Beside each file that it has fetched it notes where from.
    fetched = (Path(builder.data_dir).parents[1] / "downloads").rglob("*.INFO")
    by_hand = getattr(builder, "MANUAL_DOWNLOAD_INSTRUCTIONS", None)
    if by_hand or getproxies() or any(fetched):
        return
    hosts = {urlsplit(url).hostname for url in builder.url_infos or ()} - {None}
    try:
        for host in hosts:
            socket.getaddrinfo(host, None)
    except socket.gaierror as error:
        raise DataError(
            f"{name!r} is not prepared in {builder.data_dir}, and without a network "
            f"it cannot be: {host} is not found. Prepare it where there is one (tfds "
            f"build {name}) and copy that folder here, or set TFDS_DATA_DIR to the "
            "folder that prepared data sets lie in."
        ) from error


def _split_words(name: str, info: Any, validation_share: float) -> tuple[str, str]:
    """Returns the two splits, in tensorflow-datasets' words."""
    found = list(info.splits)
    if "train" not in found:
        raise SplitError(
            f"{name!r} has no split 'train'; it has {', '.join(found) or 'none'}."
        )
    for split in _EVALUATION_SPLITS:
        if split in found:
            return "train", split
    count = info.splits["train"].num_examples
    validation = max(1, round(count * validation_share))
    if validation >= count:
        raise SplitError(
            f"{name!r} has {count} images in its only split, too few to hold "
            f"{validation_share:.0%} back."
        )
    return f"train[{validation}:]", f"train[:{validation}]"


def _whole_words(name: str, info: Any, part: str) -> str:
    """Returns one part, or all of them, in tensorflow-datasets' words."""
    found = list(info.splits)
    if part == "test" and part not in found:
        raise DataError(f"{name!r} has no split 'test'; it has {', '.join(found)}.")
    # Others are shares of these, or images without a label.
    known = [one for one in ("train", *_EVALUATION_SPLITS) if one in found]
    return "test" if part == "test" else "+".join(known or found)


def is_array_record(builder: Any) -> bool:
    """Returns True if records are read by their number, False as a stream."""
    return builder.info.file_format.value == "array_record"


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 400 else text[:400] + " ..."
