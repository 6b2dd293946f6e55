#!/usr/bin/env bash
# Behavior: `tf.tensor_scatter_nd_update` (and `_add`) on the tensor that a `tf.while_loop`
#   hands on copies the whole tensor at every step, in a graph as well: writing a row at a
#   time takes time in proportion to the square of the rows.
# Guess: nobody else refers to that tensor, so that it is changed in place.
# Hurts: whoever collects results in a loop that way, as `keras.ops.scatter_update` in
#   `keras.ops.while_loop` does, for instance what was read for each of 1,000 boxes.
# Seen: 2026-11-29, tensorflow-cpu 2.21.0: 64 updates of 4 KB take 0.8 s in a tensor of 64 MB
#   and 0.001 s in one of 0.25 MB.

set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow
python3 -m venv venv
venv/bin/pip install --quiet tensorflow-cpu==2.21.0
venv/bin/python - <<'PYTHON'
import statistics
import time
from importlib.metadata import version

import tensorflow as tf

print("tensorflow-cpu", version("tensorflow-cpu"))
STEPS = 64


def seconds(rows: int) -> float:
    """Measures a loop that writes a row of 1,024 floats at each step."""

    @tf.function(autograph=False)
    def write() -> tf.Tensor:
        def body(step, table):
            row = tf.fill((1, 1024), tf.cast(step, tf.float32))
            return step + 1, tf.tensor_scatter_nd_update(table, [[step]], row)

        start = tf.zeros((rows, 1024)) + tf.random.uniform(())
        _, table = tf.while_loop(lambda step, _: step < STEPS, body, (0, start))
        return table[STEPS - 1, 0]

    @tf.function(autograph=False)
    def begin() -> tf.Tensor:
        return (tf.zeros((rows, 1024)) + tf.random.uniform(()))[STEPS - 1, 0]

    taken = []
    for function in (write, begin):
        function()
        rounds = []
        for _ in range(5):
            start = time.process_time()
            function().numpy()
            rounds.append(time.process_time() - start)
        taken.append(statistics.median(rounds))
    return taken[0] - taken[1]


small, large = seconds(STEPS), seconds(16384)
print(f"0.25 MB: {small:.4f} s; 64 MB: {large:.4f} s; guess: the same")
if large < 8 * small:
    raise SystemExit("the behavior has changed")
PYTHON
