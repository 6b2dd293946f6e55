"""How long import and building take, in fresh processes.

    python benchmarks/startup.py --runs=5

`import keras_convnext` is measured after `import keras`, which it needs anyway.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import json, time
start = time.perf_counter()
import keras
keras_s = time.perf_counter() - start
start = time.perf_counter()
import keras_convnext
ours_s = time.perf_counter() - start
times = {"import keras": keras_s, "import keras_convnext after it": ours_s}
keras_convnext.create("test_convnext")  # what Keras itself does once
for name in ("ConvNeXtTiny", "ConvNeXtXLarge"):
    start = time.perf_counter()
    model = getattr(keras_convnext, name)(weights=None)
    times[f"build {name}"] = time.perf_counter() - start
    del model
start = time.perf_counter()
keras.applications.ConvNeXtTiny(weights=None)
times["build keras.applications.ConvNeXtTiny"] = time.perf_counter() - start
print(json.dumps(times))
"""


def main() -> None:
    """Measures and prints medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    runs = []
    for _ in range(options.runs):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
        if done.returncode:
            raise SystemExit(done.stderr[-2000:])
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    medians = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    for name, median in medians.items():
        least = min(run[name] for run in runs)
        print(f"{name:40s} median {median:6.2f} s  min {least:6.2f} s")
    if options.out:
        figures = {"median_s": medians, "runs": runs}
        options.out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
