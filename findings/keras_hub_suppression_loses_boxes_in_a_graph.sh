#!/usr/bin/env bash
# Behavior: in a `tf.function`, as in `predict`, KerasHub's `NonMaxSuppression` loses some of
#   the first 512 boxes although no box touches another. Called eagerly it keeps all.
# Guess: boxes that do not touch all stay, and a graph gives what eager execution gives.
# Hurts: whoever detects many objects with KerasHub's RetinaNet: some are never found, and
#   trying the layer out eagerly does not show it.
# Seen: 2026-11-29, keras-hub 0.32.0, keras 3.15.1, tensorflow 2.21.0: 600 boxes eagerly, 552
#   in a graph.

set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow
python3 -m venv venv
venv/bin/pip install --quiet tensorflow==2.21.0 keras==3.15.1 keras-hub==0.32.0
venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import keras_hub
import numpy as np
import tensorflow as tf

print(*(f"{name} {version(name)}" for name in ("keras-hub", "keras", "tensorflow")))

place = np.arange(600)
y, x = place // 25 * 20.0, place % 25 * 20.0
# A grid of squares of 10 pixels with 10 pixels between them.
boxes = np.stack([y, x, y + 10, x + 10], -1)[None].astype("float32")
scores = np.linspace(0.99, 0.6, 600, dtype="float32")[None, :, None]
suppress = keras_hub.layers.NonMaxSuppression(
    "yxyx", from_logits=False, max_detections=600
)
seen = {}
for name, call in (("eager", suppress), ("graph", tf.function(suppress))):
    found = call(tf.constant(boxes), tf.constant(scores))
    seen[name] = int(found["num_detections"][0])
    print(f"{name}: {seen[name]} of 600 boxes; guess: 600")
if seen["eager"] != 600 or seen["graph"] == 600:
    raise SystemExit("the behavior has changed")
PYTHON
