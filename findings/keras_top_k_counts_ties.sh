#!/usr/bin/env bash
# Behavior: Keras' top-k accuracy counts a tie as a hit: a model that answers the same for
#   all classes has a top-5 accuracy of 100 %, and so has a sure one in 8 bits, whose
#   other classes are all 0.
# Guess: the five highest, ties by index, so that equal answers to ten classes score 5 of
#   10.
# Hurts: everybody who judges models with few distinct answers: of 8 bits, of float16,
#   with saturated or dead outputs. A network that has collapsed is reported as perfect.
#   (On JAX even answers that are no numbers score 100 %; on TensorFlow they score 0.)
# Seen: 2026-11-28, keras 3.15.1, numpy 2.4.6, jax 0.10.2 (as run here) and tensorflow
#   2.21.0 alike: 1.0 for equal answers; for random ones to 1000 classes in steps of
#   1/256, as a full int8 softmax gives them, the top-5 accuracy is 0.46 where the five
#   highest hold 0.005.

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

random = np.random.RandomState(0)


def compute_top_5(labels: np.ndarray, answers: np.ndarray) -> tuple[float, float]:
    """Keras' top-5 accuracy, and that of the five highest with ties by index."""
    metric = keras.metrics.SparseTopKCategoricalAccuracy(k=5)
    metric.update_state(labels, answers)
    highest = np.argsort(-answers, axis=1, kind="stable")[:, :5]
    return float(metric.result()), float((highest == labels[:, None]).any(1).mean())


equal, equal_by_index = compute_top_5(np.arange(10), np.zeros((10, 10), "float32"))
print(f"equal answers, 10 classes: {equal:.3f}; guess: {equal_by_index:.3f}")

logits = random.normal(0, 10, (2000, 1000))
softmax = np.exp(logits - logits.max(1, keepdims=True))
softmax /= softmax.sum(1, keepdims=True)
in_steps = (np.round(softmax * 256) / 256).astype("float32")
labels = random.randint(0, 1000, 2000)
coarse, by_index = compute_top_5(labels, in_steps)
print(f"random answers in steps of 1/256, 1000 classes: {coarse:.3f}; guess: {by_index:.3f}")
if equal != 1.0 or coarse < 0.3:
    raise SystemExit("the behavior has changed")
PYTHON
