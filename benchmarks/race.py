"""Runs contestants side by side: a process each, taking turns A B A B."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cases import Case

HERE = Path(__file__).resolve().parent
# TensorFlow and PyTorch would otherwise tell of the machine at length.
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}

# Whose calls take longer than this has fewer turns: its median is settled soon, and it
# would take most of the time.
SLOW_S = 5.0
TURNS_OF_THE_SLOW = 2


class Missing(Exception):
    """A contestant cannot take part; the message says why."""


class Runner:
    """A contestant's process, stopped whenever it is not its turn.

    Args:
        contestant: Module of `contestants`.
        case: What it is asked for.
        python: Interpreter of its environment.

    Raises:
        Missing: The environment is not there, or the contestant failed.
    """

    def __init__(self, contestant: str, case: Case, python: Path) -> None:
        if not python.exists():
            raise Missing(f"its environment is not there ({python})")
        self.contestant = contestant
        given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        paths = os.pathsep.join([str(HERE), str(HERE.parent), *filter(None, given)])
        # A file and not a pipe, which nobody would empty.
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in close()
        self._process = subprocess.Popen(
            [
                str(python),
                str(HERE / "worker.py"),
                contestant,
                json.dumps(asdict(case)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **QUIET, "PYTHONPATH": paths},
        )
        self.start = self._answer()
        self._pause()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            errors = self._errors.read().strip().splitlines()
            raise Missing(errors[-1] if errors else "it ended without a word")
        return json.loads(line)

    def _pause(self) -> None:
        # Idle threads of some libraries keep spinning and would disturb the others.
        self._process.send_signal(signal.SIGSTOP)

    def order(self, words: str) -> dict[str, Any]:
        """Sends one line, and returns the answer."""
        self._process.send_signal(signal.SIGCONT)
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        self._pause()
        return answer

    def close(self) -> None:
        """Ends the process, whatever it does."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()


def run(
    case: Case, pythons: Mapping[str, Path], rounds: int, seconds: float
) -> dict[str, Any]:
    """Returns the result of one race.

    Args:
        case: The race.
        pythons: The interpreter of each contestant.
        rounds: Turns of each contestant; two of one that is slow (`SLOW_S`).
        seconds: Least length of a turn; it has at least one call.

    Returns:
        "case", "results" by contestant (`seconds` of all calls, `median_s`, `min_s`,
        `spread` as the interquartile range over the median, `samples_per_s`, memory
        and start-up times, `kernels` where they are asked for), "missing" by
        contestant, and "targets" and "memory" with what was reached.
    """
    runners: list[Runner] = []
    missing: dict[str, str] = {}
    try:
        for contestant in case.contestants:
            try:
                runners.append(Runner(contestant, case, pythons[contestant]))
            except Missing as reason:
                missing[contestant] = str(reason)
        for runner in runners:
            runner.order(f"run {seconds / 4}")
        turns: dict[str, list[float]] = {each.contestant: [] for each in runners}
        for number in range(rounds):
            for runner in runners:
                done = turns[runner.contestant]
                if number >= TURNS_OF_THE_SLOW and min(done) > SLOW_S:
                    continue
                turns[runner.contestant] += runner.order(f"run {seconds}")["seconds"]
        results = {
            runner.contestant: {
                **summary(turns[runner.contestant], case.batch),
                **runner.start,
                **runner.order("memory"),
            }
            for runner in runners
        }
        for runner in runners if case.profiled else ():
            # The last of all: what was measured is not lost by a profiler that fails.
            try:
                results[runner.contestant] |= runner.order("profile")
            except Missing as reason:
                print(f"  {runner.contestant} has no profile: {reason}", flush=True)
    finally:
        for runner in runners:
            runner.close()
    return {
        "case": asdict(case) | {"name": case.name},
        "results": results,
        "missing": missing,
        "targets": reached(case, results),
        "memory": held(case, results),
    }


def summary(seconds: Sequence[float], batch: int) -> dict[str, Any]:
    """Returns the figures of one contestant's calls."""
    median = statistics.median(seconds)
    quarters = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else [median] * 3
    return {
        "calls": len(seconds),
        "seconds": [round(value, 6) for value in seconds],
        "median_s": median,
        "min_s": min(seconds),
        "spread": (quarters[2] - quarters[0]) / median,
        "samples_per_s": batch / median,
    }


def reached(case: Case, results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns each target of a race with the ratio that was reached, or None."""
    found = []
    for target in case.targets:
        pair = [results.get(name) for name in (target.slower, target.faster)]
        ratio = None
        if None not in pair:
            ratio = pair[0]["median_s"] / pair[1]["median_s"]
        found.append({**asdict(target), "reached": ratio})
    return found


def held(case: Case, results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns each limit of memory with the ratio that was reached, or None."""
    found = []
    for limit in case.memory:
        pair = [results.get(name) for name in (limit.contestant, limit.other)]
        ratio = None
        if None not in pair and all(each["peak_mb"] for each in pair):
            own, other = (each["peak_mb"] - each["base_mb"] for each in pair)
            ratio = own / other
        found.append({**asdict(limit), "reached": ratio})
    return found
