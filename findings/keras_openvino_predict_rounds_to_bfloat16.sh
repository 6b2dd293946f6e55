#!/usr/bin/env bash
# Behavior: on Keras' OpenVINO backend a float32 model gives one answer when it is called
#   and another by predict. The call asks OpenVINO for float32; predict, predict_on_batch
#   and evaluate ask for nothing, and on processors with bfloat16 OpenVINO then computes
#   in that. No dtype policy tells: every layer says float32.
# Guess: predict equals the call to 1e-6, as on TensorFlow, JAX and torch.
# Hurts: who checks a model with one and deploys the other, compares probabilities with
#   another backend's, or puts a threshold on scores; it shows on servers since 2023 or so
#   (AVX512-BF16, AMX) and not on older laptops.
# Seen: 2026-11-30, keras 3.15.1, openvino 2026.4.1, numpy 2.4.6, a Xeon with AMX: of
#   outputs up to 0.27, the call is within 2e-7 of numpy's float64, predict 1e-3 away.

set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet keras==3.15.1 openvino==2026.4.1 numpy==2.4.6 scipy==1.17.1
KERAS_BACKEND=openvino venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import keras
import numpy as np
import openvino

print(", ".join(f"{n} {version(n)}" for n in ("keras", "openvino", "numpy")))
core = openvino.Core()
print("processor:", core.get_property("CPU", "FULL_DEVICE_NAME"))

keras.utils.set_random_seed(0)
model = keras.Sequential([keras.Input((256,)), keras.layers.Dense(256), keras.layers.Dense(10)])
model.compile(loss="mean_squared_error")
rows = np.random.default_rng(0).normal(size=(64, 256)).astype("float32") / 16
weights = [np.float64(keras.ops.convert_to_numpy(layer.kernel)) for layer in model.layers]
exact = np.float64(rows) @ weights[0] @ weights[1]  # The biases are zero.

called = keras.ops.convert_to_numpy(model(rows))
predicted = model.predict(rows, verbose=0)
errors = [float(np.abs(each - exact).max()) for each in (called, predicted)]
print("policies:", {layer.dtype_policy.name for layer in model.layers})
print("largest output %.2f" % np.abs(exact).max())
print("model(x): %.1e from numpy; model.predict(x): %.1e; guess: 1e-6 both" % tuple(errors))

has_bfloat16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
if not has_bfloat16:
    print("this processor has no bfloat16 and cannot show it")
if errors[0] > 1e-5 or (errors[1] > 1e-4) != has_bfloat16:
    raise SystemExit("the behavior has changed")
PYTHON
