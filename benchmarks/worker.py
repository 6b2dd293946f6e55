"""One contestant in a process of its own: it prepares, then runs when it is told to.

`race.py` starts it with the interpreter of the contestant's environment:

    PYTHON worker.py CONTESTANT CASE_AS_JSON

It answers each line on standard input with one line of JSON on standard output:

    (at the start)  {"versions": ..., "import_s": ..., "base_mb": ..., "build_s": ...,
                     "first_call_s": ...}
    run SECONDS     {"seconds": [...]}: calls timed one by one, for so long
    memory          {"peak_mb": ..., "device_peak_mb": ...}
    profile         {"kernels": {NAME: SECONDS}}: the device's time in one call

It is over when standard input is, or when it is killed.

What libraries print goes to standard error.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

STATUS = Path("/proc/self/status")


def resident_mb(entry: str) -> float | None:
    """Returns "VmRSS" (now) or "VmHWM" (the peak) in megabytes; None off Linux."""
    if not STATUS.exists():
        return None
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(lines[entry].split()[0]) * 1024 / 1e6


def main() -> None:
    """Prepares the contestant and serves standard input."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    name, case = sys.argv[1], json.loads(sys.argv[2])

    def answer(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    begin = time.perf_counter()
    contestant = importlib.import_module(f"contestants.{name}")
    imported = time.perf_counter()
    base_mb = resident_mb("VmRSS")
    call = contestant.prepare(case)
    built = time.perf_counter()
    call()
    first = time.perf_counter()
    answer(
        versions=contestant.versions(),
        import_s=imported - begin,
        base_mb=base_mb,
        build_s=built - imported,
        first_call_s=first - built,
    )
    for line in sys.stdin:
        order, *values = line.split()
        if order == "memory":
            of_device = getattr(contestant, "device_peak_mb", lambda: None)
            answer(peak_mb=resident_mb("VmHWM"), device_peak_mb=of_device())
            continue
        if order == "profile":
            answer(kernels=contestant.kernels(call))
            continue
        end = time.perf_counter() + float(values[0])
        seconds: list[float] = []
        while not seconds or time.perf_counter() < end:
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        answer(seconds=seconds)


if __name__ == "__main__":
    main()
