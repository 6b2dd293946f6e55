"""Batches of tf.data for JAX: made and brought to the devices ahead of the steps."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

from keras_convnext._messages import UsageError

from ..engine.cluster import Cluster
from ..engine.data_problems import too_few, unreadable
from ..engine.run import Run

# Batches that lie on the devices before they are asked for.
_AHEAD = 2
_LOOK_SECONDS = 0.1


def leave_accelerators() -> None:
    """Keeps TensorFlow, which only reads images, from JAX's accelerators."""
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")


def ahead(
    batches: Iterable[Any], place: Callable[[Any], Any]
) -> Generator[Any, None, None]:
    """Yields what `place` makes of batches, which a thread does ahead of time.

    Args:
        batches: Read in the thread alone.
        place: Brings a batch to the devices.
    """
    made: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(_AHEAD)
    ends = threading.Event()

    def hand_over(batch: Any, error: BaseException | None = None) -> bool:
        while not ends.is_set():
            try:
                made.put((batch, error), timeout=_LOOK_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for batch in batches:
                if not hand_over(place(batch)):
                    return
            hand_over(None, StopIteration())
        except BaseException as error:
            hand_over(None, error)

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        while True:
            batch, error = made.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield batch
    finally:
        ends.set()
        thread.join()


def training(
    run: Run, place: Callable[[Any], Any], cluster: Cluster
) -> Generator[Any, None, None]:
    """Yields the batches that the run's epoch still has, on the devices.

    Args:
        run: Its source, recipe and place.
        place: Brings a batch to the devices.
        cluster: This process among those that train together.

    Raises:
        UsageError: They end too early, or an image of them cannot be read.
    """
    import tensorflow as tf

    from ..engine.shares import training_share

    left = run.steps_per_epoch - run.progress.batch
    share = training_share(run, cluster.worker, cluster.workers)
    batches = ahead(share.as_numpy_iterator(), place)
    try:
        for _ in range(left):
            yield next(batches)
    except StopIteration:
        raise UsageError(too_few(run)) from None
    except (tf.errors.InvalidArgumentError, tf.errors.DataLossError) as error:
        raise UsageError(unreadable(run, 1, error)) from error
    finally:
        batches.close()


def validation(run: Run, cluster: Cluster, global_batch: int) -> Iterable[Any]:
    """Returns what gives batches (images, truth, weights) again after every epoch."""
    from ..engine.shares import validation_share

    dataset = validation_share(run, cluster.worker, cluster.workers, global_batch)

    class Again:
        def __iter__(self) -> Iterator[Any]:
            return dataset.as_numpy_iterator()

    return Again()
