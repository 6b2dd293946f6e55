"""The processes that train together, as TF_CONFIG or JAX's variables name them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

VARIABLE = "TF_CONFIG"
JAX_VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")


@dataclass(frozen=True)
class Cluster:
    """This process among those that train together.

    Attributes:
        worker: Its number, from 0.
        workers: How many there are.
    """

    worker: int = 0
    workers: int = 1

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.worker == 0


ALONE = Cluster()


def read(environment: Mapping[str, str] = os.environ) -> Cluster:
    """Reads TF_CONFIG; a single process where it is not set.

    Raises:
        ValueError: It names no cluster of workers, or not this process.
    """
    text = environment.get(VARIABLE, "")
    if not text:
        return ALONE
    try:
        config = json.loads(text)
        jobs = config["cluster"]
        kind, index = config["task"]["type"], int(config["task"]["index"])
        # TensorFlow counts a chief before the workers.
        addresses = {job: list(jobs.get(job, ())) for job in ("chief", "worker")}
        before = len(addresses["chief"]) if kind == "worker" else 0
        known = 0 <= index < len(addresses[kind])
    except (ValueError, TypeError, KeyError, AttributeError):
        known = False
    if not known:
        raise ValueError(
            f"{VARIABLE} must name the workers and which of them this is, such as "
            '{"cluster": {"worker": ["host0:12345", "host1:12345"]}, '
            f'"task": {{"type": "worker", "index": 0}}}}; got {text!r}'
        )
    return Cluster(before + index, sum(map(len, addresses.values())))


def read_jax(
    environment: Mapping[str, str] = os.environ,
) -> tuple[Cluster, str | None]:
    """Reads JAX's variables, or TF_CONFIG where none of them is set.

    Returns:
        This process, and host and port of the first; None for a single process.

    Raises:
        ValueError: They name no processes, or not this one.
    """
    address, count, number = (environment.get(name, "") for name in JAX_VARIABLES)
    if not (address or count or number):
        found = read(environment)
        if found.workers == 1:
            return ALONE, None
        jobs = json.loads(environment[VARIABLE])["cluster"]
        return found, str([*jobs.get("chief", ()), *jobs.get("worker", ())][0])
    known = count.isdecimal() and number.isdecimal() and int(number) < int(count)
    if not known or not re.fullmatch(r".+:\d+", address):
        raise ValueError(
            f"{', '.join(JAX_VARIABLES)} must name host and port of the first "
            "process, how many there are, and which of them this is, such as "
            f"host0:12345, 2, 0; got {address!r}, {count!r}, {number!r}"
        )
    return (
        (Cluster(int(number), int(count)), address) if int(count) > 1 else (ALONE, None)
    )
