#!/usr/bin/env bash
# Behavior: one ONNX file with NonMaxSuppression gives other boxes in OpenVINO than in
#   ONNX Runtime where an overlap equals iou_threshold exactly: ONNX Runtime keeps the
#   box, OpenVINO drops it. (TensorFlow has both: tf.image.non_max_suppression keeps it,
#   non_max_suppression_padded drops it; KerasHub's layer drops it, OpenCV keeps it.)
# Guess: a box goes when its overlap is above the threshold, as the ONNX operator and all
#   papers say, in every runtime.
# Hurts: parity tests of exported detectors, and small objects on a grid of whole pixels,
#   where overlaps of exactly 1/2, 1/3 or 1/4 are usual.
# Seen: 2026-11-28, onnx 1.23.2, onnxruntime 1.32.0, openvino 2026.4.1, numpy 2.4.6: two
#   boxes, one of them half of the other, threshold 0.5: two detections, and one.

set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1 numpy==2.4.6
venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper

print(", ".join(f"{n} {version(n)}" for n in ("onnx", "onnxruntime", "openvino", "numpy")))

boxes = np.float32([[[0, 0, 8, 8], [0, 0, 4, 8]]])
scores = np.float32([[[0.9, 0.8]]])


def build(iou_threshold: float) -> bytes:
    """A model of NonMaxSuppression alone."""
    node = helper.make_node("NonMaxSuppression", ["boxes", "scores", "limit", "iou"], ["kept"])
    graph = helper.make_graph(
        [node],
        "suppression",
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, boxes.shape),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, scores.shape),
        ],
        [helper.make_tensor_value_info("kept", TensorProto.INT64, ["count", 3])],
        [
            helper.make_tensor("limit", TensorProto.INT64, [1], [5]),
            helper.make_tensor("iou", TensorProto.FLOAT, [1], [iou_threshold]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def count(iou_threshold: float) -> tuple[int, int]:
    """How many boxes ONNX Runtime and OpenVINO keep."""
    model = build(iou_threshold)
    session = onnxruntime.InferenceSession(model)
    kept = session.run(None, {"boxes": boxes, "scores": scores})[0]
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(
        openvino.Core().read_model(model), "CPU", settings
    )
    also_kept = compiled([boxes, scores])[0]
    return len(kept), int((also_kept[:, 0] >= 0).sum())


seen = {threshold: count(threshold) for threshold in (0.49, 0.5, 0.51)}
for threshold, (runtime, vino) in seen.items():
    guess = 2 if threshold >= 0.5 else 1
    print(f"threshold {threshold}: onnxruntime keeps {runtime}, openvino {vino}; guess: {guess}")
if seen != {0.49: (1, 1), 0.5: (2, 1), 0.51: (2, 2)}:
    raise SystemExit("the behavior has changed")
PYTHON
