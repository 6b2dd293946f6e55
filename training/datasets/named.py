"""Any data set of tensorflow-datasets, by its name."""

from __future__ import annotations

import contextlib
import difflib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from .. import decoding
from ..examples import DataError, Encoded, Examples, Pixels

# Sets of equally large pictures are read into memory up to so many bytes.
_MEMORY_BYTES = 2**30
# Encoded pictures from which the next one is drawn; about 1 GB of ImageNet.
_SHUFFLE_BUFFER = 8192
_EVALUATION_SPLITS = ("validation", "test")


@dataclass(frozen=True)
class Named:
    """What was found under a name.

    Attributes:
        classes: Their names, in the order of the labels.
        train: Training examples.
        evaluation: Evaluation examples.
    """

    classes: tuple[str, ...]
    train: Examples
    evaluation: Examples

    @property
    def is_small(self) -> bool:
        """Whether the pictures have one size and fit into memory."""
        return isinstance(self.train, Pixels)


def load(
    name: str, *, data_dir: str | None, validation_share: float, quiet: bool = False
) -> Named:
    """Finds, prepares where needed, and opens a data set.

    Args:
        name: What tensorflow-datasets calls it.
        data_dir: Where prepared data sets lie; None for tensorflow-datasets' own
            place.
        validation_share: Part of the training split that evaluation gets where the
            data set has neither a validation nor a test split.
        quiet: Show nothing of the download and the preparation.

    Raises:
        DataError: There is no such data set, it cannot be had, or it does not hold
            labelled pictures.
    """
    with _silenced(quiet):
        builder = _builder(name, data_dir)
        image_key, label_key = _keys(name, builder.info)
        _prepare(name, builder)
        splits = _splits(name, builder.info, validation_share)
        train, evaluation = (
            _examples(builder, split, image_key, label_key) for split in splits
        )
    return Named(tuple(builder.info.features[label_key].names), train, evaluation)


@contextlib.contextmanager
def _silenced(prints_too: bool) -> Iterator[None]:
    """Holds back tensorflow-datasets' warnings, and on request all that it prints."""
    from absl import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with contextlib.ExitStack() as stack:
            if prints_too:
                stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
                stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            yield
    finally:
        logging.set_verbosity(before)


def _builder(name: str, data_dir: str | None) -> Any:
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=data_dir, try_gcs=False)
    except tfds.core.DatasetNotFoundError as error:
        near = difflib.get_close_matches(name, tfds.list_builders(), 3)
        hint = f"Near names: {', '.join(near)}. " if near else ""
        raise DataError(
            f"tensorflow-datasets has no data set {name!r}. {hint}Your own pictures "
            "are named folder:PATH."
        ) from error
    # A data set's own module may fail in any way: missing packages, wrong names.
    except Exception as error:
        raise DataError(f"{name!r} cannot be used: {_one_line(error)}") from error


def _keys(name: str, info: Any) -> tuple[str, str]:
    """Returns which features hold the picture and its class."""
    import tensorflow_datasets as tfds

    features = dict(info.features) if hasattr(info.features, "items") else {}
    images = [k for k, v in features.items() if isinstance(v, tfds.features.Image)]
    labels = [k for k, v in features.items() if isinstance(v, tfds.features.ClassLabel)]
    for found in (images, labels):
        preferred = [key for key in found if key in (info.supervised_keys or ())]
        found[:] = preferred or found
    if len(images) != 1 or len(labels) != 1:
        raise DataError(
            f"{name!r} does not hold one picture and one class an example; its "
            f"features are {', '.join(sorted(features)) or 'none'}."
        )
    return images[0], labels[0]


def _prepare(name: str, builder: Any) -> None:
    """Downloads and prepares where that has not been done."""
    if builder.info.splits:
        return
    try:
        builder.download_and_prepare()
    # tensorflow-datasets lets through whatever its many builders raise.
    except Exception as error:
        raise DataError(
            f"{name!r} is not prepared in {builder.data_dir} and could not be: "
            f"{_one_line(error)}"
        ) from error


def _splits(name: str, info: Any, validation_share: float) -> tuple[str, str]:
    """Returns the two splits, in tensorflow-datasets' words."""
    found = list(info.splits)
    if "train" not in found:
        raise DataError(
            f"{name!r} has no split 'train'; it has {', '.join(found) or 'none'}."
        )
    for split in _EVALUATION_SPLITS:
        if split in found:
            return "train", split
    count = info.splits["train"].num_examples
    held_back = max(1, round(count * validation_share))
    if held_back >= count:
        raise DataError(
            f"{name!r} has {count} pictures in its only split, too few to hold "
            f"{validation_share:.0%} back."
        )
    return f"train[{held_back}:]", f"train[:{held_back}]"


def _examples(builder: Any, split: str, image_key: str, label_key: str) -> Examples:
    """Returns small sets of equally large pictures from memory, others as a stream."""
    count = builder.info.splits[split].num_examples
    shape = builder.info.features[image_key].shape
    if None not in shape and count * int(np.prod(shape)) <= _MEMORY_BYTES:
        rows = [
            (row[image_key], row[label_key])
            for row in _read(builder, split).as_numpy_iterator()
        ]
        images = np.stack([image for image, _ in rows])
        if images.shape[-1] == 1:
            images = np.repeat(images, 3, axis=-1)
        return Pixels(images, np.array([label for _, label in rows], np.int32))
    # As tensorflow-datasets itself decodes: EXIF notes are not looked for.
    ways = {"jpeg": decoding.UPRIGHT_JPEG, "png": decoding.UPRIGHT_PNG}
    encoding = builder.info.features[image_key].encoding_format
    way = ways.get(encoding, decoding.GENERAL)
    return Encoded(count, _stream(builder, split, image_key, label_key), way)


def _stream(
    builder: Any, split: str, image_key: str, label_key: str
) -> Callable[[int | None], tf.data.Dataset]:
    import tensorflow_datasets as tfds

    undecoded = {image_key: tfds.decode.SkipDecoding()}

    def pair(row: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        return row[image_key], row[label_key]

    def stream(seed: int | None) -> tf.data.Dataset:
        rows = _read(builder, split, seed, undecoded).map(pair)
        if seed is None:
            return rows
        return rows.shuffle(_SHUFFLE_BUFFER, seed=seed, reshuffle_each_iteration=False)

    return stream


def _read(
    builder: Any, split: str, seed: int | None = None, decoders: Any = None
) -> tf.data.Dataset:
    import tensorflow_datasets as tfds

    return builder.as_dataset(
        split=split,
        decoders=decoders,
        shuffle_files=seed is not None,
        read_config=tfds.ReadConfig(
            shuffle_seed=seed,
            shuffle_reshuffle_each_iteration=False,
            # Reading in parallel must not decide the order.
            interleave_cycle_length=16,
            try_autocache=False,
        ),
    )


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 400 else text[:400] + " ..."
