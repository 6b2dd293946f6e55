"""The devices of a run under JAX: one mesh of all, over which a batch is spread."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from keras_convnext import _compiled

from ..engine.cluster import ALONE, Cluster
from ..engine.distribution import Devices

_AXIS = "batch"
_CACHE_VARIABLES = ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE")


@dataclass(frozen=True, eq=False)
class Spread:
    """The devices that share a batch, of this process and of the others.

    Attributes:
        mesh: All of them, in one row.
        cluster: This process among those that train together.
        batch: How arrays lie whose first axis is the batch: each device has its rows.
        whole: How arrays lie that every device has.
    """

    mesh: Mesh
    cluster: Cluster = ALONE
    batch: NamedSharding = field(init=False)
    whole: NamedSharding = field(init=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "batch", NamedSharding(self.mesh, PartitionSpec(_AXIS)))
        put(self, "whole", NamedSharding(self.mesh, PartitionSpec()))

    @property
    def count(self) -> int:
        """How many devices there are, of all processes."""
        return int(self.mesh.size)

    def spread(self, rows: Any) -> Any:
        """Returns this process's rows of a batch as a part of the whole batch.

        Args:
            rows: A nest of arrays `(rows, ...)`, as many in every process.
        """

        def place(array: Any) -> jax.Array:
            array = np.asarray(array)
            shape = (len(array) * self.cluster.workers, *array.shape[1:])
            return jax.make_array_from_process_local_data(self.batch, array, shape)

        return jax.tree.map(place, rows)

    def copy(self, values: Any) -> Any:
        """Returns a nest of arrays, the same in every process, on every device."""

        def place(value: Any) -> jax.Array:
            if self.cluster.workers == 1:
                return jax.device_put(jax.numpy.array(value, copy=True), self.whole)
            array = np.asarray(value)
            return jax.make_array_from_process_local_data(
                self.whole, array, array.shape
            )

        # Keys of random numbers have a type that NumPy does not know.
        return jax.tree.map(place, values)

    def along(self, rows: Any) -> Any:
        """Asks the compiler, in a function that it compiles, to spread rows."""
        return jax.tree.map(
            lambda array: jax.lax.with_sharding_constraint(array, self.batch), rows
        )

    def any_worker(self, flag: bool) -> bool:
        """Returns True if the flag is set in any process; all get the same answer."""
        if self.cluster.workers == 1:
            return flag
        return bool(np.any(multihost_utils.process_allgather(np.array(flag))))

    def describe(self) -> str:
        """Returns the devices in a few words: "JAX on 4 cpu"."""
        own = self.count // self.cluster.workers
        words = f"JAX on {own} {self.mesh.devices.flat[0].device_kind}"
        if self.cluster.workers > 1:
            words += f" in each of {self.cluster.workers} processes"
        return words


def local(value: jax.Array) -> jax.Array:
    """Returns this process's copy of an array that every device has, on one of them."""
    return value.addressable_data(0)


def open_devices(
    devices: Devices, cluster: Cluster = ALONE, address: str | None = None
) -> Spread:
    """Returns the devices that `--devices` says, of all processes.

    To be called before JAX has done anything: logical processors cannot be made later.

    Args:
        devices: What `--devices` says.
        cluster: This process among those that train together.
        address: Host and port of the first, where there are several.

    Raises:
        ValueError: The machine has no such device.
    """
    if cluster.workers > 1:
        if devices != Devices():
            raise ValueError(
                "with several processes each takes the devices it sees: leave "
                "--devices out, and hide GPUs with CUDA_VISIBLE_DEVICES"
            )
        # Programs that run at the same time may exchange in another order elsewhere.
        jax.config.update("jax_cpu_enable_async_dispatch", False)
        jax.distributed.initialize(address, cluster.workers, cluster.worker)
    if devices.kind == "cpu":
        jax.config.update("jax_platforms", "cpu")
        if devices.count > 1:
            jax.config.update("jax_num_cpu_devices", devices.count)
        found = jax.devices()[: devices.count]
    else:
        found = jax.devices() if devices.kind == "all" else _gpus(devices.numbers)
    if devices.numbers:
        jax.config.update("jax_default_device", found[0])
    _keep_compiled()
    if cluster.workers > 1:
        # Processes that first exchange anything wait thirty seconds for each other: now
        # they are at the same place, and later one may have read images for longer.
        multihost_utils.sync_global_devices("devices are open")
    return Spread(Mesh(np.array(found), (_AXIS,)), cluster)


def _gpus(numbers: tuple[int, ...]) -> list[jax.Device]:
    """Returns the GPUs of these numbers, all of them for none.

    Raises:
        ValueError: There are no such GPUs.
    """
    found = [device for device in jax.devices() if device.platform != "cpu"]
    missing = [number for number in numbers if number >= len(found)]
    if missing or not found:
        raise ValueError(
            f"--devices asks for GPU {', '.join(map(str, missing)) or '(any)'}, "
            f"but JAX sees {len(found)}; use --devices=all to take what there is"
        )
    return [found[number] for number in numbers] if numbers else found


def _keep_compiled(environment: Mapping[str, str] = os.environ) -> None:
    """Keeps what XLA compiles in the user's cache, unless JAX's variables say more."""
    if not any(environment.get(name) for name in _CACHE_VARIABLES):
        jax.config.update("jax_compilation_cache_dir", str(_compiled.folder("jax")))
