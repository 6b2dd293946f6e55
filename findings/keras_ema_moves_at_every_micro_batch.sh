#!/usr/bin/env bash
# Behavior: with gradient_accumulation_steps=4 and use_ema=True a Keras optimizer moves
#   the average of the weights at every micro-batch, not at every step of the weights, so
#   that ema_momentum acts four times for each update.
# Guess: the average moves when the weights do, and a momentum of 0.9 means the same with
#   and without accumulation.
# Hurts: everybody who reaches a paper's batch size by accumulation and its accuracy by
#   averaged weights: 0.9999 with 16 micro-batches averages over a 16th of the time meant.
# Seen: 2026-11-28, keras 3.15.1, tensorflow 2.21.0, numpy 2.4.6: three updates of a
#   weight (1, then 0, -1, -2) with momentum 0.9 leave the average at -0.29 where each
#   update is made of one batch, and at -0.51 where the same update is made of four
#   micro-batches.

set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet keras==3.15.1 tensorflow-cpu==2.21.0 numpy==2.4.6
KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3 venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import keras
import numpy as np

print("keras", version("keras"), "tensorflow", version("tensorflow-cpu"), "numpy", version("numpy"))


def average_after(updates: int, micro_batches: int) -> float:
    """The average of one weight after updates of -1 each, each made of equal micro-batches."""
    optimizer = keras.optimizers.SGD(
        1.0,
        use_ema=True,
        ema_momentum=0.9,
        gradient_accumulation_steps=micro_batches if micro_batches > 1 else None,
    )
    weight = keras.Variable(np.float32([1.0]), name="weight")
    optimizer.build([weight])
    for _ in range(updates * micro_batches):
        optimizer.apply([keras.ops.ones((1,))], [weight])
    assert weight.numpy()[0] == 1 - updates
    named = {variable.name: variable for variable in optimizer.variables}
    (average,) = [v for name, v in named.items() if "average" in name]
    return float(average.numpy()[0])


# Keras begins the average with the weight after the first call.
guess = 0.0
for weight in (-1.0, -2.0):
    guess = 0.9 * guess + 0.1 * weight
plain = average_after(updates=3, micro_batches=1)
accumulated = average_after(updates=3, micro_batches=4)
print(f"average after three updates of one batch each: {plain:.4f}")
print(f"average after the same three updates, each of four micro-batches: {accumulated:.4f}")
print(f"guess for both: {guess:.4f}")
if abs(plain - guess) > 1e-5 or abs(accumulated - plain) < 0.01:
    raise SystemExit("the behavior has changed")
PYTHON
