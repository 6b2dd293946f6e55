"""What Keras' `fit` takes to begin: its first training step, in fresh processes.

    python benchmarks/first_step.py --builder=ConvNeXtTiny --runs=3

Prints processor seconds and seconds by the clock, medians, of cases that take turns.
Most of it is Keras tracing the step, the rest TensorFlow compiling it. Keras traces
twice where the optimizer makes its variables during the first time. What XLA compiles
is kept in a folder by the last case, which has been started once before.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from typing import NamedTuple

PROGRAM = """
import sys, time
import keras
import numpy as np
import keras_convnext
from keras_convnext.optimizers import LayerwiseAdamW, parameter_groups

package, builder, optimizer, built = sys.argv[1:]
builders = {"keras_convnext": keras_convnext, "keras.applications": keras.applications}
model = getattr(builders[package], builder)(
    weights=None, input_shape=(64, 64, 3), classes=10
)
images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
start, used = time.perf_counter(), time.process_time()
if optimizer == "LayerwiseAdamW":
    optimizer = LayerwiseAdamW(groups=parameter_groups(model))
model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
if built == "True":
    model.optimizer.build(model.trainable_variables)
model.train_on_batch(images, np.arange(2))
print(time.process_time() - used, time.perf_counter() - start)
"""


class Case(NamedTuple):
    """What is compared.

    Attributes:
        package: Whose ConvNeXt it is.
        optimizer: Keras' "adamw", or this project's.
        built: Whether the optimizer's variables are made before the first step.
        keeps: Whether XLA's programs are kept from an earlier start.
    """

    package: str
    optimizer: str = "adamw"
    built: bool = False
    keeps: bool = False

    def __str__(self) -> str:
        built = ", built before" if self.built else ""
        kept = ", programs kept" if self.keeps else ""
        return f"{self.package}, {self.optimizer}{built}{kept}"


OURS = "keras_convnext"
CASES = (
    Case("keras.applications"),
    Case(OURS),
    Case(OURS, built=True),
    Case(OURS, "LayerwiseAdamW", built=True),
    Case(OURS, "LayerwiseAdamW", built=True, keeps=True),
)


def measure(case: Case, builder: str, folder: str) -> tuple[float, float]:
    """Returns processor seconds and seconds of a first step in a process of its own."""
    flag = f"--tf_xla_persistent_cache_directory={folder}" if case.keeps else ""
    settings = {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": "1",
        **os.environ,
        "TF_XLA_FLAGS": flag,
    }
    given = (case.package, builder, case.optimizer, str(case.built))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *given],
        capture_output=True,
        text=True,
        check=False,
        env=settings,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    used, taken = map(float, done.stdout.splitlines()[-1].split())
    return used, taken


def main() -> None:
    """Measures in turns and prints medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--builder", default="ConvNeXtTiny")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(CASES[-1], options.builder, folder)
        runs = [
            {case: measure(case, options.builder, folder) for case in CASES}
            for _ in range(options.runs)
        ]
    print("| first step of | processor s | s by the clock |")
    for case in CASES:
        used, taken = (statistics.median(run[case][n] for run in runs) for n in (0, 1))
        print(f"| {options.builder}: {case} | {used:.1f} | {taken:.1f} |")
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
