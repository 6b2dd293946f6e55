"""Says in a line that another of JAX's processes is gone.

Where that is the first one, by which they are connected, JAX aborts the others itself.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Iterator

import jax

from ..engine.cluster import Cluster
from ..engine.distribution import LostWorkerError

# By what exchanges between processors and between GPUs, and by what connects them.
_WORDS = ("Gloo", "NCCL", "UNAVAILABLE", "coordination service", "distributed service")


@contextlib.contextmanager
def explain_lost_processes(cluster: Cluster) -> Iterator[None]:
    """Makes a line of what the others see where a process dies.

    Args:
        cluster: This process among those that train together.

    Raises:
        LostWorkerError: A process is gone.
    """
    if cluster.workers == 1:
        yield
        return
    try:
        yield
    # What the processors' exchange raises is a plain ValueError.
    except (ValueError, jax.errors.JaxRuntimeError) as error:
        text = str(error)
        if not any(word in text for word in _WORDS):
            raise
        # At its end JAX would wait a minute for the lost one, and then abort.
        atexit.register(_leave)
        raise LostWorkerError(cluster, text.partition("\n")[0]) from error


def _leave() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(LostWorkerError.exit_code)
