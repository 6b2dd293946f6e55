"""What oneDNN's kernels gain on this processor, against TensorFlow's own.

    python benchmarks/kernels.py --rounds=4

TensorFlow decides by the processor which of the two it takes (on x86 by AVX-512 VNNI or
AMX), unless TF_ENABLE_ONEDNN_OPTS says so. Each contestant runs with 0 and with 1, in
processes that take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

import cases
import race

SWITCH = "TF_ENABLE_ONEDNN_OPTS"
WORKS = (
    (cases.OURS, cases.Case("kernels", "inference", "convnext_tiny", 1, ())),
    (cases.FOLDED, cases.Case("kernels", "inference", "convnext_tiny", 1, ())),
    (cases.OURS, cases.Case("kernels", "inference", "convnext_tiny", 8, ())),
    (cases.FOLDED, cases.Case("kernels", "inference", "convnext_tiny", 8, ())),
    (
        cases.OURS,
        cases.Case("kernels", "training", "convnext_atto", 128, (), 32, classes=10),
    ),
)


def measure(
    contestant: str, case: cases.Case, rounds: int, seconds: float
) -> dict[str, Any]:
    """Returns the medians without and with oneDNN, in seconds."""
    runners = {}
    try:
        for choice in ("0", "1"):
            os.environ[SWITCH] = choice
            runners[choice] = race.Runner(contestant, case, Path(sys.executable))
        taken: dict[str, list[float]] = {choice: [] for choice in runners}
        for number in range(rounds + 1):
            for choice, runner in runners.items():
                found = runner.order(f"run {seconds}")["seconds"]
                if number:  # the first warms up
                    taken[choice] += found
    finally:
        for runner in runners.values():
            runner.close()
    own, onednn = (statistics.median(taken[choice]) for choice in ("0", "1"))
    return {
        "name": f"{case.name}, {cases.TITLES[contestant]}",
        "own_s": own,
        "onednn_s": onednn,
        "gain": own / onednn,
    }


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=4, help="turns of each")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a turn")
    parser.add_argument("--only", default="", help="works whose name has this in it")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    works = []
    for contestant, case in WORKS:
        if options.only in case.name:
            found = measure(contestant, case, options.rounds, options.seconds)
            works.append(found)
            print(
                f"{found['name']}: {found['own_s'] * 1e3:.0f} ms, with oneDNN "
                f"{found['onednn_s'] * 1e3:.0f} ms, {found['gain']:.2f} times as fast",
                flush=True,
            )
    if options.out:
        options.out.write_text(json.dumps({"works": works}, indent=1) + "\n")


if __name__ == "__main__":
    main()
