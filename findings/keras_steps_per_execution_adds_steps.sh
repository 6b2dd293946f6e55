#!/usr/bin/env bash
# Behavior: compile(steps_per_execution=n) rounds fit's steps_per_epoch up to a multiple
#   of n: 3 steps an epoch in executions of 2 are 4.
# Guess: the last execution of an epoch is shorter, as it is at the end of the data, where
#   no batch is missed or added; a knob of speed does not change the training.
# Hurts: schedules by step and comparisons of runs: a learning rate that should reach zero
#   at the last step arrives early, and more images are seen than were counted.
# Seen: 2026-11-28, keras 3.15.1, numpy 2.4.6, jax 0.10.2 (as run here) and tensorflow
#   2.21.0 alike: 20 epochs of 3 steps are 60 steps with 1, 80 with 2, 100 with 5 and 160
#   with 8.

set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet keras==3.15.1 jax==0.10.2 numpy==2.4.6
KERAS_BACKEND=jax JAX_PLATFORMS=cpu venv/bin/python - <<'PYTHON'
from collections.abc import Iterator
from importlib.metadata import version

import keras
import numpy as np

print("keras", version("keras"), "jax", version("jax"), "numpy", version("numpy"))


def repeat_a_batch() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of one, without an end."""
    while True:
        yield np.ones((1, 1), "float32"), np.ones((1, 1), "float32")


def count_steps(steps_per_execution: int) -> int:
    """Steps of the optimizer in twenty epochs of three steps each."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", steps_per_execution=steps_per_execution)
    model.fit(repeat_a_batch(), steps_per_epoch=3, epochs=20, verbose=0)
    return int(model.optimizer.iterations.numpy())


seen = {size: count_steps(size) for size in (1, 2, 5, 8)}
for size, steps in seen.items():
    print(f"steps_per_execution={size}: {steps} steps; guess: 60")
if seen != {1: 60, 2: 80, 5: 100, 8: 160}:
    raise SystemExit("the behavior has changed")
PYTHON
