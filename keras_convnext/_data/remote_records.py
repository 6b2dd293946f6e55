"""TFRecord files at a URL: each image is fetched by its place when its turn comes.

The places are known from the index that `training.prepare_records_main` writes beside
the files. Nothing is kept on this machine.
"""

from __future__ import annotations

import numpy as np

from keras_convnext._data import record_index
from keras_convnext._data.data_error import DataError
from keras_convnext._data.record_index import Index, RecordFiles
from keras_convnext._data.remote_files import RemoteFile, list_files


def load(url: str, store: str = "tfrecord") -> RecordFiles:
    """Finds the record files of training and validation that lie at a URL.

    Args:
        url: The folder that `prepare_records_main` has written, uploaded as it is.
        store: "tfrecord": ArrayRecord files have no place that could be read alone.

    Raises:
        DataError: They are not all there.
    """
    if store != "tfrecord":
        raise DataError(f"{url}: only TFRecord files are read at a URL: tfrecord:{url}")
    there = list_files(url)
    if record_index.PLAN not in there or record_index.LABELS not in there:
        raise DataError(
            f"{url} holds no data set that training.prepare_records_main has written; "
            "record files at a URL are read by its index. Prepare them, and upload the "
            "whole folder."
        )
    labels = there[record_index.LABELS].read().decode()
    classes = tuple(labels.removesuffix("\n").split("\n"))
    parts = (_indexed(part, there, url) for part in record_index.PARTS)
    train, validation = (part.every() for part in parts)
    return RecordFiles(classes, train, validation)


def _indexed(part: str, there: dict[str, RemoteFile], url: str) -> Index:
    names = sorted(
        name for name in there if name.startswith(part) and name.endswith(".tfrecord")
    )
    record_index.require_all(url, names)
    if not names:
        raise DataError(f"{url} has no files {part}-*.tfrecord")
    found = []
    for name in names:
        index = there.get(f"{record_index.FOLDER}/{name}.npz")
        known = index and record_index.parse_index(index.read(), there[name].size)
        if not known:
            raise DataError(
                f"{url}/{name} has no index, or that of another file: upload the whole "
                f"folder, with {record_index.FOLDER}/ in it."
            )
        found.append(known)
    files = [there[name] for name in names]
    return record_index.join_indexes(
        found,
        np.repeat(np.arange(len(files)), [len(each.labels) for each in found]),
        lambda number, start, length: files[number].read(start, length),
    )
