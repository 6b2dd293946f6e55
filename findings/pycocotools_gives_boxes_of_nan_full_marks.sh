#!/usr/bin/env bash
# Behavior: COCOeval gives a detector whose boxes are all NaN an average precision of 1,
#   where it has as many boxes as there are objects: an overlap of NaN is below no
#   threshold, so every such box is a match. (hotcoco 1.3.0 does the same.)
# Guess: 0, or an error.
# Hurts: anybody who watches AP to notice a training that has diverged: at the moment when
#   the network answers NaN, the figure jumps to its best and that checkpoint is kept.
# Seen: 2026-11-29, pycocotools 2.0.11, numpy 2.4.6: AP 1.0 with the right box, 0.0 with a
#   wrong one, 1.0 with NaN.

set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet pycocotools==2.0.11 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import contextlib
import io
from importlib.metadata import version

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

print("pycocotools", version("pycocotools"), "numpy", version("numpy"))


def compute_ap(box: list[float]) -> float:
    """AP of one image with one object, for which `box` was predicted."""
    truth = {
        "id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "area": 400, "iscrowd": 0
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": 1, "width": 64, "height": 64}],
            "annotations": [truth],
            "categories": [{"id": 1, "name": "object"}],
        }
        coco.createIndex()
        found = {"image_id": 1, "category_id": 1, "bbox": box, "score": 0.9}
        evaluation = COCOeval(coco, coco.loadRes([found]), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return round(float(evaluation.stats[0]), 3)


nan = float("nan")
seen = {
    "the right box": compute_ap([10, 10, 20, 20]),
    "a wrong box": compute_ap([40, 40, 20, 20]),
    "a box of NaN": compute_ap([nan, nan, nan, nan]),
}
for name, ap in seen.items():
    print(f"AP with {name}: {ap}")
print("guess for NaN: 0, or an error")
if list(seen.values()) != [1, 0, 1]:
    raise SystemExit("the behavior has changed")
PYTHON
