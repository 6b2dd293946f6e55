"""From stored examples to batches: order, parallel work, batching, padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf

from keras_convnext._data.data_error import DataError

from .examples import Examples
from .graphs import as_written
from .pixels import epoch_key

# Evaluation examples are kept in memory after the first pass up to so many bytes.
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
            as_written(
                lambda position, *_: (
                    position % self.global_batch // self.rows == self.worker
                )
            )
        )


class Filling(NamedTuple):
    """What fills up batches of examples of several sizes.

    Attributes:
        example: An image and what is joined to it, for rows of weight 0.
        padding: A value for each, right of and below what is smaller than others.
    """

    example: tuple[Any, Any]
    padding: tuple[Any, Any]


def training_batches(
    examples: Examples,
    shard: WorkerShard,
    view: Callable[[Any, tf.Tensor], Any],
    *,
    epoch: int,
    seed: int,
    drop_remainder: bool = True,
    start_batch: int = 0,
    repeats: int = 1,
    mix: Callable[[Any, tf.Tensor], Any] | None = None,
    arrange: Callable[[tf.data.Dataset], tf.data.Dataset] | None = None,
    collate: Callable[[tf.data.Dataset, int], tf.data.Dataset] | None = None,
) -> tf.data.Dataset:
    """Returns one epoch of augmented batches from `start_batch` on.

    Args:
        examples: What is read.
        shard: Which rows of every batch are made.
        view: From a record and a seed, int64 `(2,)`, to a training example: an image
            with what is joined to it, both changed alike. Run in parallel.
        epoch: From 0.
        seed: Of the order and of the views.
        drop_remainder: Leave the last batch out where it is not full.
        start_batch: Batches of the epoch to pass over.
        repeats: How often an example comes up in a row, in an epoch that is no longer.
        mix: Changes a whole batch by a seed of its own; None leaves it.
        arrange: Changes the order of an epoch's records; None leaves it.
        collate: From examples and the rows of a batch to full batches, for examples of
            several sizes; None stacks them.

    Raises:
        DataError: Several workers are to share a last batch that is not full.
    """
    if shard.workers > 1 and not drop_remainder:
        raise DataError(
            "Several workers need full batches: the rows of a smaller last one would "
            "not reach all of them."
        )
    key = epoch_key(seed, epoch)
    records = examples.shuffled(seed, epoch)
    if arrange is not None:
        records = arrange(records)
    if repeats > 1:
        records = _repeated(records, repeats).take(examples.count)
    if examples.count < shard.global_batch:
        # Fewer images than one batch are shown again to fill it.
        records = records.repeat().take(shard.global_batch)
    elif drop_remainder:
        whole = examples.count // shard.global_batch
        records = records.take(whole * shard.global_batch)
    records = records.enumerate().skip(start_batch * shard.global_batch)
    rows = shard.of(records).map(
        as_written(lambda position, record: view(record, tf.stack([key, position]))),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    if collate is None:
        batches = rows.batch(shard.rows, drop_remainder=drop_remainder)
    else:
        batches = collate(rows, shard.rows)
    if mix is not None:
        # Keyed apart from the examples' own draws, and differently for each worker.
        mixing_key = epoch_key(key, shard.worker)
        batches = batches.enumerate(start_batch).map(
            as_written(
                lambda number, batch: mix(batch, tf.stack([mixing_key, number]))
            ),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
    return batches.prefetch(tf.data.AUTOTUNE).with_options(_options())


def evaluation_batches(
    examples: Examples,
    shard: WorkerShard,
    view: Callable[[Any], tuple[tf.Tensor, Any]],
    filling: Filling | None = None,
) -> tf.data.Dataset:
    """Returns every example once; the last batch is filled with rows of weight 0.

    Args:
        examples: What is read.
        shard: Which rows of every batch are made.
        view: From a record to an image and what is joined to it. Sizes that differ
            are filled up to the largest of a batch.
        filling: What is filled up with; None for zeros.

    Returns:
        (image, what is joined to it, weight float32), each `(batch, ...)`.
    """
    own = shard.of(examples.in_order().enumerate())
    rows = own.map(
        as_written(lambda _, record: (*view(record), tf.constant(1.0))),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    specs = tf.nest.flatten(rows.element_spec)
    are_alike = all(spec.shape.is_fully_defined() for spec in specs)
    empty = tf.nest.map_structure(
        lambda spec: tf.zeros([size or 1 for size in spec.shape], spec.dtype),
        rows.element_spec,
    )
    if filling is not None:
        empty = (*filling.example, 0.0)
    filler = tf.data.Dataset.from_tensors(empty)
    count = -(-examples.count // shard.global_batch)
    padded = rows.concatenate(filler.repeat()).take(count * shard.rows)
    if are_alike and examples.count * _bytes_of(specs) <= _CACHE_BYTES:
        padded = padded.cache()
    if are_alike:
        batches = padded.batch(shard.rows, drop_remainder=True)
    else:
        values = None if filling is None else (*filling.padding, 0.0)
        batches = padded.padded_batch(
            shard.rows, padding_values=values, drop_remainder=True
        )
    return batches.prefetch(tf.data.AUTOTUNE).with_options(_options())


def _bytes_of(specs: Sequence[tf.TensorSpec]) -> int:
    return sum(spec.shape.num_elements() * spec.dtype.size for spec in specs)


def _repeated(records: tf.data.Dataset, times: int) -> tf.data.Dataset:
    """Returns each record so many times in a row."""

    def copies(*record: Any) -> tf.data.Dataset:
        one = record[0] if len(record) == 1 else record
        return tf.data.Dataset.from_tensors(one).repeat(times)

    return records.flat_map(as_written(copies))


def _options() -> tf.data.Options:
    """The order never depends on timing, and workers share by `WorkerShard` alone."""
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF
    )
    return options
