"""How fast detections are measured as COCO does, against pycocotools.

    python benchmarks/coco_evaluation.py --images=5000 --rounds=3

Generated objects of 80 classes and 20 detections an image, boxes and masks, the same
for both. They take turns in one process; each reads the annotations and the results
that it is given, and ends with COCO's twelve figures, which are to be equal.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import hotcoco
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from training.evaluation.coco_metrics import FIGURES, measure

CLASSES, DETECTIONS, HEIGHT, WIDTH = 80, 20, 480, 640
# What is meant: "at least five times as fast".
TARGET = 5.0


def generate(images: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Returns COCO's instances and results of ellipses, seven in an image."""
    random = np.random.default_rng(0)
    circle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    circle = np.stack([np.cos(circle), np.sin(circle)], axis=1)

    def shape(center: Any, radii: Any) -> dict[str, Any]:
        points = np.clip(center + radii * circle, 0, (WIDTH, HEIGHT)).round(2)
        [runs] = hotcoco.mask.frPyObjects([points.ravel().tolist()], HEIGHT, WIDTH)
        low, high = points.min(axis=0), points.max(axis=0)
        return {
            "bbox": [*low.tolist(), *(high - low).tolist()],
            "segmentation": {**runs, "counts": runs["counts"].decode()},
        }

    truth: dict[str, Any] = {
        "images": [
            {"id": number, "height": HEIGHT, "width": WIDTH} for number in range(images)
        ],
        "categories": [{"id": n, "name": str(n)} for n in range(CLASSES)],
        "annotations": [],
    }
    results = []
    for number in range(images):
        centers = random.uniform(0, (WIDTH, HEIGHT), (7, 2))
        radii = np.exp(random.uniform(np.log(6), np.log(120), (7, 2)))
        labels = random.integers(0, CLASSES, 7).tolist()
        for place, label in enumerate(labels):
            found = shape(centers[place], radii[place])
            more = {"area": float(hotcoco.mask.area(found["segmentation"]))}
            more |= {"iscrowd": 0, "id": len(truth["annotations"]) + 1}
            more |= {"image_id": number, "category_id": label}
            truth["annotations"].append(found | more)
        for place in random.integers(0, 7, DETECTIONS):
            moved = centers[place] + radii[place] * random.normal(0, 0.2, 2)
            more = {"image_id": number, "score": float(random.random())}
            is_right = random.random() < 0.8
            more["category_id"] = (
                labels[place] if is_right else int(random.integers(80))
            )
            results.append(shape(moved, radii[place]) | more)
    return truth, results


def by_pycocotools(
    truth: dict[str, Any], results: list[dict[str, Any]]
) -> dict[str, float]:
    """Returns the figures of boxes and of masks."""
    figures = {}
    known = COCO()
    known.dataset = truth
    known.createIndex()
    for kind, prefix, other in (
        ("bbox", "", "segmentation"),
        ("segm", "mask_", "bbox"),
    ):
        rows = [{k: v for k, v in row.items() if k != other} for row in results]
        evaluation = COCOeval(known, known.loadRes(rows), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        names = [prefix + name for name in FIGURES]
        figures |= dict(zip(names, map(float, evaluation.stats), strict=True))
    return figures


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    truth, results = generate(options.images)
    print(f"{len(results):,} detections, load {os.getloadavg()[0]:.1f}", flush=True)
    works = {
        "pycocotools": by_pycocotools,
        # With errors, AP by class and by image besides.
        "ours": lambda *given: measure(*given, with_masks=True).figures,
    }
    taken: dict[str, list[float]] = {name: [] for name in works}
    figures = {}
    for _ in range(options.rounds):
        for name, work in works.items():
            given = copy.deepcopy((truth, results))
            with contextlib.redirect_stdout(io.StringIO()):
                began = time.perf_counter()
                figures[name] = work(*given)
                taken[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    difference = max(
        abs(value - figures["pycocotools"][name])
        for name, value in figures["ours"].items()
    )
    ratio = medians["pycocotools"] / medians["ours"]
    print(
        f"{options.images:,} images, boxes and masks: pycocotools "
        f"{medians['pycocotools']:.1f} s, ours {medians['ours']:.1f} s, {ratio:.1f} "
        f"times as fast (target {TARGET:g}); largest difference {difference:g}"
    )
    if options.out:
        found = {"medians_s": medians, "ratio": ratio, "difference": difference}
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
