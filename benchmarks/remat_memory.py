"""How much memory `remat=True` saves in a training step.

    python benchmarks/remat_memory.py --variant=convnext_tiny --size_px=224 --batch=16

A process of its own for each of the two builds the model, takes two training steps in
a `tf.function` and reports how far its resident memory rose above what it held before
the first step. Needs Linux, whose process table keeps that peak.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

STATUS = Path("/proc/self/status")


def resident_mb(entry: str) -> float:
    """Returns "VmRSS" (now) or "VmHWM" (the peak) of this process in megabytes."""
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(lines[entry].split()[0]) * 1024 / 1e6


def measure(variant: str, size_px: int, batch: int, remat: bool) -> dict[str, float]:
    """Returns the cost of two training steps: additional megabytes, and seconds."""
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_convnext import create

    model = create(variant, input_shape=(size_px, size_px, 3), remat=remat, seed=0)
    variables = [v.value for v in model.trainable_variables]
    random = np.random.default_rng(0)
    images = random.uniform(0, 255, (batch, size_px, size_px, 3))
    images = tf.constant(images, "float32")
    labels = tf.constant(random.integers(0, 1000, batch))

    @tf.function(jit_compile=False)
    def step():
        with tf.GradientTape() as tape:
            losses = keras.losses.sparse_categorical_crossentropy(
                labels, model(images, training=True)
            )
            loss = tf.reduce_mean(losses)
        for variable, gradient in zip(
            variables, tape.gradient(loss, variables), strict=True
        ):
            variable.assign_sub(0.001 * gradient)
        return loss

    step.get_concrete_function()  # tracing takes memory that is not the step's
    before = resident_mb("VmRSS")
    step()
    begin = time.perf_counter()
    loss = float(step())
    return {
        "rise_mb": resident_mb("VmHWM") - before,
        "step_s": time.perf_counter() - begin,
        "loss": loss,
    }


def in_a_process(arguments: argparse.Namespace, remat: bool) -> dict[str, float]:
    """Runs `measure` in a fresh process."""
    command = [sys.executable, __file__, f"--variant={arguments.variant}"]
    command += [f"--size_px={arguments.size_px}", f"--batch={arguments.batch}"]
    command += [f"--only={'remat' if remat else 'plain'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measures both and prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--variant", default="convnext_tiny")
    parser.add_argument("--size_px", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--only", choices=("plain", "remat"))
    arguments = parser.parse_args()
    if not STATUS.exists():
        parser.error(f"{STATUS} is not there: this needs Linux")
    if arguments.only:
        remat = arguments.only == "remat"
        print(
            json.dumps(
                measure(arguments.variant, arguments.size_px, arguments.batch, remat)
            )
        )
        return
    plain, remat = (in_a_process(arguments, each) for each in (False, True))
    share = remat["rise_mb"] / plain["rise_mb"]
    print(json.dumps({"plain": plain, "remat": remat, "share": round(share, 3)}))


if __name__ == "__main__":
    main()
