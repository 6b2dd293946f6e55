"""From stored examples to batches: order, parallel work, batching, padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from keras_convnext._data.data_error import DataError
from keras_convnext.image import evaluation_view
from keras_convnext.preprocessing import Preprocessing

from ..augment.mixup_cutmix import mixup_cutmix
from ..augment.transforms import augment, crop
from ..recipes.augmentation import Augmentation
from .examples import Examples, epoch_key

# Evaluation images are kept in memory after the first pass up to so many bytes.
_CACHE_BYTES = 2**30


@dataclass(frozen=True)
class WorkerShard:
    """Which rows of every batch this process makes.

    Attributes:
        global_batch: Rows of a batch over all processes.
        worker: Number of this process, from 0.
        workers: How many processes there are.
    """

    global_batch: int
    worker: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        if self.global_batch < 1 or self.workers < 1:
            raise DataError(
                f"A batch of {self.global_batch} for {self.workers} workers: both "
                "must be at least 1."
            )
        if self.global_batch % self.workers:
            raise DataError(
                f"A batch of {self.global_batch} cannot be shared evenly by "
                f"{self.workers} workers; choose a multiple of {self.workers}."
            )
        if not 0 <= self.worker < self.workers:
            raise DataError(
                f"Worker {self.worker} is none of the {self.workers} workers, which "
                "are counted from 0."
            )

    @property
    def rows(self) -> int:
        """Rows of a batch that this process makes."""
        return self.global_batch // self.workers

    def of(self, numbered: tf.data.Dataset) -> tf.data.Dataset:
        """Keeps this process's rows of a data set of (position, ...)."""
        if self.workers == 1:
            return numbered
        return numbered.filter(
            lambda position, *_: (
                position % self.global_batch // self.rows == self.worker
            )
        )


def training_batches(
    examples: Examples,
    shard: WorkerShard,
    *,
    epoch: int,
    seed: int,
    augmentation: Augmentation,
    preprocessing: Preprocessing,
    classes: int,
    drop_remainder: bool,
    start_batch: int,
) -> tf.data.Dataset:
    """Returns one epoch of augmented batches from `start_batch` on.

    Returns:
        (images uint8 `(batch, size, size, 3)`, labels): int32 `(batch,)`, or float32
        `(batch, classes)` where the augmentation mixes images.

    Raises:
        DataError: Several workers are to share a last batch that is not full, or
            images are to be shifted out of sight.
    """
    if shard.workers > 1 and not drop_remainder:
        raise DataError(
            "Several workers need full batches: the rows of a smaller last one would "
            "not reach all of them."
        )
    if augmentation.shift_px >= preprocessing.size_px:
        raise DataError(
            f"A shift of up to {augmentation.shift_px} pixels leaves nothing of "
            f"images of {preprocessing.size_px} pixels."
        )
    key = epoch_key(seed, epoch)
    records = examples.shuffled(seed, epoch)
    if augmentation.repeats > 1:
        records = _repeated(records, augmentation.repeats).take(examples.count)
    if examples.count < shard.global_batch:
        # Fewer images than one batch are shown again to fill it.
        records = records.repeat().take(shard.global_batch)
    elif drop_remainder:
        whole = examples.count // shard.global_batch
        records = records.take(whole * shard.global_batch)
    records = records.enumerate().skip(start_batch * shard.global_batch)

    def view(position: tf.Tensor, record: Any) -> tuple[tf.Tensor, tf.Tensor]:
        seed_pair = tf.stack([key, position])
        image, label = examples.image(record, crop(seed_pair, augmentation))
        image = augment(image, seed_pair, augmentation, preprocessing)
        return tf.ensure_shape(image, _shape(preprocessing)), label

    batches = (
        shard.of(records)
        .map(view, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(shard.rows, drop_remainder=drop_remainder)
    )
    if augmentation.mixes:
        # Keyed apart from the examples' own draws, and differently for each worker.
        mixing_key = epoch_key(key, shard.worker)

        def mix(number: tf.Tensor, batch: Any) -> tuple[tf.Tensor, tf.Tensor]:
            images, labels = batch
            seed_pair = tf.stack([mixing_key, number])
            return mixup_cutmix(images, labels, seed_pair, classes, augmentation)

        batches = batches.enumerate(start_batch).map(
            mix, num_parallel_calls=tf.data.AUTOTUNE
        )
    return batches.prefetch(tf.data.AUTOTUNE).with_options(_options())


def evaluation_batches(
    examples: Examples, shard: WorkerShard, preprocessing: Preprocessing
) -> tf.data.Dataset:
    """Returns every example once; the last batch is filled with rows of weight 0.

    Returns:
        (images float32 `(batch, size, size, 3)`, labels int32 `(batch,)`, weights
        float32 `(batch,)`).
    """
    shape = _shape(preprocessing)

    def view(_: tf.Tensor, record: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        image, label = examples.image(record)
        seen = evaluation_view(image, preprocessing)
        return tf.ensure_shape(seen, shape), label, tf.constant(1.0)

    filler = tf.data.Dataset.from_tensors(
        (tf.zeros(shape), tf.constant(0), tf.constant(0.0))
    )
    own = shard.of(examples.in_order().enumerate())
    rows = own.map(view, num_parallel_calls=tf.data.AUTOTUNE)
    batches = -(-examples.count // shard.global_batch)
    padded = rows.concatenate(filler.repeat()).take(batches * shard.rows)
    if 4 * examples.count * preprocessing.size_px**2 * 3 <= _CACHE_BYTES:
        padded = padded.cache()
    return (
        padded.batch(shard.rows, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
        .with_options(_options())
    )


def _repeated(records: tf.data.Dataset, times: int) -> tf.data.Dataset:
    """Returns each record so many times in a row."""

    def copies(*record: Any) -> tf.data.Dataset:
        one = record[0] if len(record) == 1 else record
        return tf.data.Dataset.from_tensors(one).repeat(times)

    return records.flat_map(copies)


def _shape(preprocessing: Preprocessing) -> tuple[int, int, int]:
    return preprocessing.size_px, preprocessing.size_px, 3


def _options() -> tf.data.Options:
    """The order never depends on timing, and workers share by `WorkerShard` alone."""
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF
    )
    return options
