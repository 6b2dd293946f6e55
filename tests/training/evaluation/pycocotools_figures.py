"""COCO's figures as pycocotools computes them."""

import contextlib
import copy
import io

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def evaluate(truth, results, kind):
    """Returns the finished COCOeval of "bbox" or "segm"."""
    # Masks are measured without boxes, whose areas would count instead.
    other = {"bbox": "segmentation", "segm": "bbox"}[kind]
    results = [{k: v for k, v in each.items() if k != other} for each in results]
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = copy.deepcopy(truth)
        known.createIndex()
        evaluation = COCOeval(known, known.loadRes(results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation
