"""Batches of a source as tasks with the same kind of source take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..data.source import Source
from ..recipes.recipe import Recipe

if TYPE_CHECKING:
    import tensorflow as tf

    from ..data.pipeline import WorkerShard


def training_batches(
    source: Source,
    recipe: Recipe,
    share: WorkerShard,
    epoch: int,
    start_batch: int,
    augment: Any,
) -> tf.data.Dataset:
    """Returns one epoch of batches (images uint8, truth), as `source.train` has them.

    Args:
        source: The run's.
        recipe: Its seed is used.
        share: Of each batch.
        epoch: From 0.
        start_batch: Batches of the epoch to pass over.
        augment: What happens to images and truth, as `source.train` takes it.
    """
    return source.train(
        share.global_batch,
        epoch=epoch,
        seed=recipe.seed,
        augment=augment,
        start_batch=start_batch,
        worker=share.worker,
        workers=share.workers,
    )


def validation_batches(
    source: Source, recipe: Recipe, share: WorkerShard
) -> tf.data.Dataset:
    """Returns batches (images, truth, weights), as `source.validation_batches` does."""
    return source.validation_batches(
        share.global_batch, worker=share.worker, workers=share.workers
    )
