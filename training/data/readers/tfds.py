"""Any data set of tensorflow-datasets, by its name or by the folder it lies in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from keras_convnext._data.data_error import DataError
from keras_convnext._data.forms import prepared_in

from ..examples import Encoded, Examples, Records
from ..graphs import as_written
from ..pixels import Pixels
from .tfds_builder import is_array_record, open_builder, prepared_splits, silence

# Sets of equally large images are read into memory up to so many bytes.
_MEMORY_BYTES = 2**30
# Encoded images from which the next one is drawn; about 1 GB of ImageNet.
_SHUFFLE_BUFFER = 8192
# What data sets call the name of the image's file.
_NAME_KEYS = ("file_name", "image/filename", "filename")


@dataclass(frozen=True)
class Named:
    """What was found under a name.

    Attributes:
        classes: Their names, in the order of the labels.
        train: Training examples.
        evaluation: Evaluation examples.
        drawn: Whether these are a share of the only split.
    """

    classes: tuple[str, ...]
    train: Examples
    validation: Examples
    drawn: bool = False

    @property
    def is_small(self) -> bool:
        """Whether the images have one size and fit into memory."""
        return isinstance(self.train, Pixels)


def load(
    name: str,
    *,
    data_dir: str | None,
    validation_share: float,
    quiet: bool = False,
    whole: str | None = None,
) -> Named:
    """Finds, prepares where needed, and opens a data set.

    Args:
        name: What tensorflow-datasets calls it, or the folder that it was prepared in.
        data_dir: Where prepared data sets lie; None for tensorflow-datasets' own
            place.
        validation_share: Part of the training split that evaluation gets where the
            data set has neither a validation nor a test split.
        quiet: Show nothing of the download and the preparation.
        whole: "test" or "all": that part alone, for training and evaluation alike, to
            evaluate on it. None looks for both.

    Raises:
        DataError: There is no such data set, it cannot be had, or it does not hold
            labeled images.
    """
    with silence(quiet):
        builder = open_builder(name, data_dir)
        image_key, label_key = _keys(name, builder.info)
        splits = prepared_splits(name, builder, validation_share, whole)
        parts = [_examples(builder, split, image_key, label_key) for split in splits]
    classes = tuple(builder.info.features[label_key].names)
    return Named(classes, parts[0], parts[-1], drawn="[" in splits[-1])


def is_known(name: str) -> bool:
    """Returns True if there is a data set of that name, or prepared in that folder."""
    import tensorflow_datasets as tfds

    base = re.split("[/:]", name)[0]
    return prepared_in(name) is not None or base in tfds.list_builders()


def _keys(name: str, info: Any) -> tuple[str, str]:
    """Returns which features hold the image and its class."""
    import tensorflow_datasets as tfds

    features = dict(info.features) if hasattr(info.features, "items") else {}
    images = [k for k, v in features.items() if isinstance(v, tfds.features.Image)]
    labels = [k for k, v in features.items() if isinstance(v, tfds.features.ClassLabel)]
    for found in (images, labels):
        preferred = [key for key in found if key in (info.supervised_keys or ())]
        found[:] = preferred or found
    if len(images) != 1 or len(labels) != 1:
        raise DataError(
            f"{name!r} does not hold one image and one class an example; its "
            f"features are {', '.join(sorted(features)) or 'none'}."
        )
    return images[0], labels[0]


def _examples(builder: Any, split: str, image_key: str, label_key: str) -> Examples:
    """Returns small sets of equally large images from memory, others as a stream."""
    count = builder.info.splits[split].num_examples
    shape = builder.info.features[image_key].shape
    read_names = _names_reader(builder, split)
    examples: Records | Encoded
    if is_array_record(builder):
        examples = _records(builder, split, image_key, label_key, read_names)
    else:
        stream = stream_pairs(builder, split, image_key, label_key)
        examples = Encoded(count, stream, read_names)
    if None in shape or count * int(np.prod(shape)) > _MEMORY_BYTES:
        return examples
    return _in_memory(builder.name, examples) or examples


def _in_memory(name: str, examples: Records | Encoded) -> Pixels | None:
    """Returns the decoded images; None where turning them upright leaves several sizes.

    They are decoded as everywhere here: tensorflow-datasets takes TensorFlow's fast
    method for JPEG, which is up to 4 of 255 off.
    """
    rows = (
        examples.in_order()
        .enumerate()
        .map(
            as_written(lambda _, record: examples.image(record)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
    )
    try:
        images, labels = zip(*rows.as_numpy_iterator(), strict=True)
    except tf.errors.InvalidArgumentError as error:
        raise DataError(f"{name!r} has an image that cannot be decoded.") from error
    if len({image.shape for image in images}) > 1:
        return None
    return Pixels(np.stack(images), np.array(labels, np.int32))


def _records(
    builder: Any,
    split: str,
    image_key: str,
    label_key: str,
    read_names: Callable[[], tuple[str, ...]] | None,
) -> Records:
    """Returns ArrayRecords, of which tensorflow-datasets reads any by its number."""
    import tensorflow_datasets as tfds

    undecoded = {image_key: tfds.decode.SkipDecoding()}
    source = builder.as_data_source(split, decoders=undecoded)

    def read(number: int) -> tuple[bytes, int]:
        row = source[number]
        return row[image_key], int(row[label_key])

    return Records(len(source), read, read_names=read_names)


def _names_reader(builder: Any, split: str) -> Callable[[], tuple[str, ...]] | None:
    """Returns the reader of the images' file names, None if there are none."""
    import tensorflow_datasets as tfds

    key = next((key for key in _NAME_KEYS if key in builder.info.features), None)
    if key is None:
        return None

    def rows() -> Iterable[Any]:
        if is_array_record(builder):
            skipped = {
                name: tfds.decode.SkipDecoding()
                for name, feature in builder.info.features.items()
                if isinstance(feature, tfds.features.Image)
            }
            return iter(builder.as_data_source(split, decoders=skipped))
        only = tfds.decode.PartialDecoding({key: True})
        return _read(builder, split, decoders=only).as_numpy_iterator()

    return lambda: tuple(row[key].decode("utf-8", "replace") for row in rows())


def stream_pairs(
    builder: Any, split: str, image_key: str, label_key: str
) -> Callable[[int | None], tf.data.Dataset]:
    """Returns the stream of `Encoded`: images, and masks too, are not decoded.

    Args:
        builder: An opened and prepared data set.
        split: In tensorflow-datasets' words.
        image_key: The feature of the image.
        label_key: The feature that is joined to it.
    """
    import tensorflow_datasets as tfds

    undecoded = {
        key: tfds.decode.SkipDecoding()
        for key in (image_key, label_key)
        if isinstance(builder.info.features[key], tfds.features.Image)
    }

    def pair(row: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        return row[image_key], row[label_key]

    def stream(seed: int | None) -> tf.data.Dataset:
        rows = _read(builder, split, seed, undecoded).map(as_written(pair))
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
