"""How long Keras' `fit` takes to begin: the first training step, in fresh processes.

    python benchmarks/first_step.py --runs=3

Most of it is Keras tracing the step, the rest TensorFlow compiling it. Keras traces
twice where the optimizer makes its variables during the first time, so
`optimizer.build` before `fit` saves one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

PROGRAM = """
import sys, time
import keras
import numpy as np
import keras_convnext

of, built = sys.argv[1:]
builders = {"keras_convnext": keras_convnext, "keras.applications": keras.applications}
model = builders[of].ConvNeXtTiny(weights=None, input_shape=(64, 64, 3), classes=10)
model.compile("adamw", "sparse_categorical_crossentropy", jit_compile=False)
images = np.random.default_rng(0).uniform(0, 255, (4, 64, 64, 3)).astype("float32")
start = time.perf_counter()
if built == "True":
    model.optimizer.build(model.trainable_variables)
model.train_on_batch(images, np.arange(4))
print(time.perf_counter() - start)
"""
CASES = [
    (of, built)
    for of in ("keras_convnext", "keras.applications")
    for built in (False, True)
]


def seconds(of: str, built: bool) -> float:
    """Returns how long the first step of ConvNeXtTiny took in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, of, str(built)],
        capture_output=True,
        text=True,
        check=False,
        env={"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1", **os.environ},
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    """Measures in turns and prints medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    runs = [{case: seconds(*case) for case in CASES} for _ in range(options.runs)]
    for of, built in CASES:
        times = [run[of, built] for run in runs]
        how = "optimizer built before" if built else "as it is"
        print(
            f"{of:20s} {how:24s} median {statistics.median(times):6.1f} s  "
            f"min {min(times):6.1f} s"
        )


if __name__ == "__main__":
    main()
