"""Which devices a run uses, and the strategy that spreads it over them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_convnext._messages import CommandError

from .cluster import Cluster

if TYPE_CHECKING:
    import tensorflow as tf

# What TensorFlow says on every other worker where one has died.
_ABORTED = "Collective ops is aborted by: "
FORMS = "all, cpu, cpu:2 (2 logical ones), gpu or gpu:0,1"


@dataclass(frozen=True)
class Devices:
    """What `--devices` says.

    Attributes:
        kind: "all" (every GPU, or the processor where there is none), "cpu" or
            "gpu".
        count: How many logical processors "cpu" is split into.
        numbers: Which GPUs; empty for every one.
    """

    kind: str = "all"
    count: int = 1
    numbers: tuple[int, ...] = ()


def parse(text: str) -> Devices:
    """Reads `--devices`.

    Raises:
        ValueError: It is none of the forms in `FORMS`.
    """
    kind, colon, rest = text.strip().lower().partition(":")
    numbers = tuple(int(part) for part in rest.split(",") if part.isdecimal())
    complete = len(numbers) == len(rest.split(","))
    if text.strip().lower() == "all" or (kind in ("cpu", "gpu") and not colon):
        return Devices(kind)
    if kind == "cpu" and complete and len(numbers) == 1 and numbers[0] > 0:
        return Devices("cpu", count=numbers[0])
    if kind == "gpu" and complete and len(set(numbers)) == len(numbers):
        return Devices("gpu", numbers=numbers)
    raise ValueError(f"--devices takes {FORMS}; got {text!r}")


def make_strategy(
    devices: Devices, cluster: Cluster | None = None
) -> tf.distribute.Strategy:
    """Returns a MirroredStrategy over the devices.

    To be called before TensorFlow has done anything: logical processors cannot be
    made later.

    Args:
        devices: What `--devices` says.
        cluster: This process among those that train together; where there are
            several, the strategy is a MultiWorkerMirroredStrategy.

    Raises:
        ValueError: The machine has no such device.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        # Otherwise the first process takes a card's memory whole.
        tf.config.experimental.set_memory_growth(gpu, True)
    if cluster is not None and cluster.workers > 1:
        if devices != Devices():
            raise ValueError(
                "with several workers each takes the devices it sees: leave --devices "
                "out, and hide GPUs with CUDA_VISIBLE_DEVICES"
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
    if devices.kind == "cpu" or (devices.kind == "all" and not gpus):
        _split_processor(devices.count)
        names = [f"/cpu:{number}" for number in range(devices.count)]
    else:
        numbers = devices.numbers or tuple(range(len(gpus)))
        missing = [number for number in numbers if number >= len(gpus)]
        if missing or not gpus:
            raise ValueError(
                f"--devices asks for GPU {', '.join(map(str, missing)) or '(any)'}, "
                f"but TensorFlow sees {len(gpus)}; use --devices=all to take what "
                "there is"
            )
        names = [f"/gpu:{number}" for number in numbers]
    return tf.distribute.MirroredStrategy(names)


def _split_processor(count: int) -> None:
    import tensorflow as tf

    processor = tf.config.list_physical_devices("CPU")[0]
    if count > 1:
        tf.config.set_logical_device_configuration(
            processor, [tf.config.LogicalDeviceConfiguration()] * count
        )


def distribute(
    share: Callable[[int, int], tf.data.Dataset],
    strategy: tf.distribute.Strategy,
    cluster: Cluster,
) -> Iterable[Any]:
    """Returns a data set whose batches come in one part for each device.

    Args:
        share: From a worker's number and how many there are to that worker's part
            of every batch.
        strategy: What to spread it by.
        cluster: This process among those that train together.
    """
    if cluster.workers == 1:
        return strategy.experimental_distribute_dataset(share(0, 1))
    devices = strategy.num_replicas_in_sync // cluster.workers

    def on_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        own = share(cluster.worker, cluster.workers)
        rows = own.element_spec[0].shape[0]
        return own.rebatch(rows // devices, drop_remainder=True)

    return strategy.distribute_datasets_from_function(on_worker)


def distribute_singly(
    share: Callable[[int, int], tf.data.Dataset],
    strategy: tf.distribute.Strategy,
    cluster: Cluster,
) -> Iterable[Any]:
    """Returns a data set that gives each device one example at a time, of any size.

    Args:
        share: From a device's number and how many there are to that device's examples,
            in batches of one; as many for each.
        strategy: What to spread them by.
        cluster: This process among those that train together.
    """
    import tensorflow as tf

    replicas = strategy.num_replicas_in_sync
    devices = replicas // cluster.workers

    def on_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        first = cluster.worker * devices
        parts = [share(first + number, replicas) for number in range(devices)]
        # Devices take turns: a batch of several would need images of one size.
        turns = tf.data.Dataset.range(devices).repeat()
        return parts[0] if devices == 1 else parts[0].choose_from_datasets(parts, turns)

    return strategy.distribute_datasets_from_function(on_worker)


def gather(
    value: Any, strategy: tf.distribute.Strategy, cluster: Cluster
) -> np.ndarray:
    """Returns the parts of a value on all devices of all workers, as one array.

    Args:
        value: What `strategy.run` gave, or a part of a batch of `distribute`; its first
            axis is the batch.
        strategy: What it is spread by.
        cluster: This process among those that train together.
    """
    if cluster.workers > 1:
        return strategy.gather(value, axis=0).numpy()
    local = strategy.experimental_local_results(value)
    return np.concatenate([part.numpy() for part in local])


def any_worker(flag: bool, strategy: tf.distribute.Strategy, cluster: Cluster) -> bool:
    """Returns True if the flag is set on any worker; all get the same answer."""
    if cluster.workers == 1:
        return flag
    import tensorflow as tf

    flags = strategy.experimental_distribute_values_from_function(
        lambda _: tf.constant(float(flag))
    )
    return bool(strategy.reduce(tf.distribute.ReduceOp.SUM, flags, axis=None) > 0)


class LostWorkerError(CommandError):
    """A worker is gone: nobody at a keyboard can put that right, a restart can.

    Args:
        cluster: The processes that trained together.
        reason: What this one saw of it.

    Attributes:
        exit_code: The one by which sysexits.h means "try again later".
    """

    exit_code = 75

    def __init__(self, cluster: Cluster, reason: str) -> None:
        super().__init__(
            f"another of the {cluster.workers} workers is gone or cannot be reached "
            f"({reason[:120]}); start the same command on all of them again, and they "
            "resume from the newest checkpoint"
        )


@contextlib.contextmanager
def explain_lost_workers(cluster: Cluster) -> Iterator[None]:
    """Makes a line of what the others see where a worker dies or cannot be reached.

    Args:
        cluster: This process among those that train together.

    Raises:
        LostWorkerError: A worker is gone.
    """
    if cluster.workers == 1:
        yield
        return
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        if _ABORTED not in error.message:
            raise
        reason = error.message.partition(_ABORTED)[2].strip().partition("\n")[0]
        raise LostWorkerError(cluster, reason.partition(". ")[0]) from error


def is_of_processors(strategy: tf.distribute.Strategy) -> bool:
    """Returns True if this process computes on processors, not on accelerators."""
    return "CPU" in strategy.extended.worker_devices[0].upper()


def describe(strategy: tf.distribute.Strategy) -> str:
    """Returns the devices in a few words.

    Such as "2 CPUs", "1 GPU (NVIDIA H200)", or "1 CPU in each of 2 workers".
    """
    import tensorflow as tf

    names = strategy.extended.worker_devices
    kind = "GPU" if "GPU" in names[0].upper() else "CPU"
    words = f"{len(names)} {kind}{'s' if len(names) > 1 else ''}"
    if kind == "GPU":
        card = tf.config.list_physical_devices("GPU")[0]
        details = tf.config.experimental.get_device_details(card)
        words += f" ({details.get('device_name', 'unknown card')})"
    workers = strategy.num_replicas_in_sync // len(names)
    return f"{words} in each of {workers} workers" if workers > 1 else words
