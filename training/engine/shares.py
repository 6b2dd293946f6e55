"""One process's share of the batches, from tf.data."""

from __future__ import annotations

import tensorflow as tf

from ..data.pipeline import WorkerShard
from .run import Run


def training_share(run: Run, worker: int, workers: int) -> tf.data.Dataset:
    """Returns one process's rows of the batches that the run's epoch still has."""
    share = WorkerShard(run.recipe.global_batch, worker, workers)
    return run.task.training_batches(
        run.source, run.recipe, share, run.progress.epoch, run.progress.batch
    )


def validation_share(
    run: Run, worker: int, workers: int, global_batch: int | None = None
) -> tf.data.Dataset:
    """Returns one process's rows of the batches of all validation examples."""
    share = WorkerShard(global_batch or run.recipe.global_batch, worker, workers)
    return run.task.validation_batches(run.source, run.recipe, share)
