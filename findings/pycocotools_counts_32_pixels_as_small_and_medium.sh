#!/usr/bin/env bash
# Behavior: pycocotools counts an object of exactly 32 x 32 pixels as small and as medium,
#   and one of 96 x 96 as medium and as large: the bounds of its area ranges are inside on
#   both sides. (supervision 0.31.2 does the same.)
# Guess: each object is in one of the three ranges.
# Hurts: data with boxes of round sizes (tiles, anchors, synthetic data), where the three
#   numbers by size are no split of the data.
# Seen: 2026-11-28, pycocotools 2.0.11, numpy 2.4.6: one image with one object found
#   perfectly: at area 1023 AP small is 1 and AP medium -1 (none there), at 1024 both are
#   1.

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


def compute_by_size(area: int) -> list[float]:
    """AP small, medium and large of one image with one object that is found perfectly."""
    box = [0, 0, 8, area / 8]
    truth = {"id": 1, "image_id": 1, "category_id": 1, "bbox": box, "area": area, "iscrowd": 0}
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": 1, "width": 640, "height": 2000}],
            "annotations": [truth],
            "categories": [{"id": 1, "name": "object"}],
        }
        coco.createIndex()
        found = {"image_id": 1, "category_id": 1, "bbox": box, "score": 0.9}
        evaluation = COCOeval(coco, coco.loadRes([found]), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [round(float(value), 3) for value in evaluation.stats[3:6]]


seen = {area: compute_by_size(area) for area in (1023, 1024, 1025, 9216)}
for area, by_size in seen.items():
    print(f"area {area}: AP small, medium, large = {by_size}; guess: one of them 1, two -1")
if seen[1023] != [1, -1, -1] or seen[1024] != [1, 1, -1] or seen[9216] != [-1, 1, 1]:
    raise SystemExit("the behavior has changed")
PYTHON
