#!/usr/bin/env bash
# Behavior: keras.losses.CategoricalCrossentropy(axis=1, label_smoothing=0.1) smooths with
#   the size of the last axis instead of that of axis 1: with maps of (batch, classes,
#   height, width) the smoothed target does not sum to one, and the loss depends on the
#   image's width.
# Guess: axis says where the classes are, for the smoothing too; the same numbers with the
#   classes in front and at the end.
# Hurts: segmentation with channels first (models and labels that come from PyTorch).
# Seen: 2026-11-28, keras 3.15.1, numpy 2.4.6, jax 0.10.2 (as run here) and tensorflow
#   2.21.0 alike: three classes, zero logits, where every smoothed target costs ln 3 =
#   1.0986: 1.0986 with the classes at the end; with axis=1 1.0254 at width 9 and 0.9924
#   at width 90.

set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet keras==3.15.1 jax==0.10.2 numpy==2.4.6
KERAS_BACKEND=jax JAX_PLATFORMS=cpu venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import keras
import numpy as np

print("keras", version("keras"), "jax", version("jax"), "numpy", version("numpy"))


def compute_loss(width: int, axis: int) -> float:
    """The smoothed loss of zero logits; any target that sums to one costs ln(classes)."""
    labels = np.random.RandomState(0).randint(0, 3, (2, 5, width))
    one_hot = np.eye(3, dtype="float32")[labels]
    if axis == 1:
        one_hot = one_hot.transpose(0, 3, 1, 2)
    loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=0.1, axis=axis
    )
    return float(loss(one_hot, np.zeros_like(one_hot)))


guess = float(np.log(3))
last = [compute_loss(width, axis=-1) for width in (9, 90)]
first = [compute_loss(width, axis=1) for width in (9, 90)]
print(f"classes in the last axis, width 9 and 90: {last[0]:.4f} {last[1]:.4f}")
print(f"classes in axis 1, width 9 and 90: {first[0]:.4f} {first[1]:.4f}")
print(f"guess for all four: {guess:.4f}")
if max(abs(loss - guess) for loss in last) > 1e-4 or abs(first[0] - first[1]) < 0.01:
    raise SystemExit("the behavior has changed")
PYTHON
