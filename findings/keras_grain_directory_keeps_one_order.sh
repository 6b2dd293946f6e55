#!/usr/bin/env bash
# Behavior: image_dataset_from_directory(format="grain", shuffle=True) gives the same
#   order in every epoch. With format="tf" each epoch has its own.
# Guess: the same as with TensorFlow: a new order each epoch.
# Hurts: everybody who trains with Keras on JAX or PyTorch without TensorFlow installed,
#   for whom this format was made: the same images meet in the same batches all through
#   training.
# Seen: 2026-11-28, keras 3.15.1, jax 0.10.2, grain 0.2.18, numpy 2.4.6: twelve images,
#   five epochs, one order. (format="tf" with tensorflow 2.21.0: five orders.)

set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet keras==3.15.1 jax==0.10.2 grain==0.2.18 pillow==13.0.0 numpy==2.4.6
KERAS_BACKEND=jax JAX_PLATFORMS=cpu venv/bin/python - <<'PYTHON'
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
from PIL import Image

print("keras", version("keras"), "jax", version("jax"))
print("grain", version("grain"), "numpy", version("numpy"))

for i in range(12):
    folder = Path("photos", "ab"[i % 2])
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), i * 20, "uint8")).save(folder / f"{i:02}.png")


data = keras.utils.image_dataset_from_directory(
    "photos", image_size=(8, 8), batch_size=4, shuffle=True, format="grain", verbose=False
)
orders = [[int(np.array(i).mean()) for batch in data for i in batch[0]] for _ in range(5)]
assert all(sorted(order) == [20 * i for i in range(12)] for order in orders)
distinct = len({tuple(order) for order in orders})
print("the images' gray values, first epoch: ", orders[0])
print("the images' gray values, second epoch:", orders[1])
print(f"orders in five epochs: {distinct}; guess: 5")
if distinct != 1 or orders[0] == sorted(orders[0]):
    raise SystemExit("the behavior has changed")
PYTHON
