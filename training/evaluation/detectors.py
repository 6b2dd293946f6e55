"""Evaluates a detector as COCO does."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_convnext._messages import say
from keras_convnext.detection import checkpoints
from keras_convnext.detection.coco_classes import coco_category_ids

from .coco_metrics import FIGURES, DetectionResults, percent, sum_up

if TYPE_CHECKING:
    from keras_convnext.inference.detector import Detector

    from ..data.box_source import BoxSource

_MOST_PRINTED_CLASSES = 20
_AREAS = ("small", "medium", "large")


def evaluate(
    model: Detector, source: BoxSource, order: np.ndarray
) -> tuple[DetectionResults, float]:
    """Finds the objects of every validation image, and measures them.

    Args:
        model: What is evaluated.
        source: The images and their objects.
        order: For each class of the data, the model's number for it. What a model
            finds of other classes does not count.

    Returns:
        Results in the data's classes, and the seconds that the model took.
    """
    numbers = np.full(len(model.labels), -1)
    numbers[order] = np.arange(len(order))
    seconds = 0.0

    def rows() -> Iterator[dict[str, np.ndarray]]:
        nonlocal seconds
        for number, image in enumerate(source.each_validation_image()):
            began = time.monotonic()
            found = model.find(image)
            seconds += time.monotonic() - began
            classes = numbers[found.classes]
            known = classes >= 0
            row = {
                "number": np.array(number),
                "boxes": found.boxes[known],
                "scores": found.scores[known],
                "classes": classes[known],
                "count": known.sum(),
            }
            if found.masks is not None:
                row["masks"] = found.masks[known]
            yield {name: values[np.newaxis] for name, values in row.items()}

    return sum_up(rows(), source), seconds


def in_files_numbers(
    results: DetectionResults, source: BoxSource
) -> list[dict[str, Any]]:
    """Returns the detections in COCO's result format, with the ids of the data's file.

    Args:
        results: Of `evaluate`.
        source: The images and their objects.
    """
    images = source.image_numbers
    return [
        {
            **each,
            "image_id": images[each["image_id"]],
            "category_id": source.category_numbers[each["category_id"]],
        }
        for each in results.detections
    ]


def figures_of(
    results: DetectionResults, classes: Sequence[str], labels: Sequence[str]
) -> dict[str, Any]:
    """Returns the metrics, a row for each class, errors, and what is published.

    Args:
        results: Of `evaluate`.
        classes: The data's.
        labels: The model's classes.
    """
    columns = results.by_class()
    return {
        **results.figures,
        "detections": len(results.detections),
        "errors": {
            name: {"count": count, "ap50": results.best.error_costs[name]}
            for name, count in results.best.error_counts.items()
        },
        "classes": [
            {
                "class": name,
                "objects": int(results.objects[number]),
                **{column: _known(of[number]) for column, of in columns.items()},
            }
            for number, name in enumerate(classes)
        ],
        **_published(labels),
    }


def _known(value: float) -> float | None:
    """Returns a figure, None for a class that has none."""
    return None if np.isnan(value) else float(value)


def _published(labels: Sequence[str]) -> dict[str, Any]:
    """Returns what is published of COCO; nothing where other classes are found."""
    if tuple(labels) != tuple(coco_category_ids()):
        return {}
    rows = [
        {
            "model": name,
            "ap": record.box_ap,
            "mask_ap": record.mask_ap,
            "source": record.figures_from,
        }
        for name, record in checkpoints.records().items()
    ]
    return {"published": rows}


def say_figures(figures: dict[str, Any]) -> None:
    """Says the metrics, errors, a line for each class, and what is published."""
    kinds = {"boxes": "", **({"masks": "mask_"} if "mask_ap" in figures else {})}
    names = ("AP", "AP50", "AP75", *_AREAS)
    say("           " + "".join(f"{name:>9}" for name in names))
    for kind, prefix in kinds.items():
        values = [figures[prefix + name] for name in FIGURES[:6]]
        say(f"  {kind:<9}" + "".join(f"{percent(value):>9}" for value in values))
    recall = ", ".join(
        f"{percent(figures[prefix + 'ar100'])} of the {kind}"
        for kind, prefix in kinds.items()
    )
    say(f"  recall with 100 detections an image: {recall}")
    say(f"  images per second    {figures['images_per_second']:,.2f}")
    say("errors: what AP50 would gain without them")
    for name, row in figures["errors"].items():
        say(f"  {name:<26}{row['count']:>9,}  {percent(row['ap50']):>7}")
    _say_classes(figures["classes"], [f"{prefix}ap" for prefix in kinds.values()])
    for row in figures.get("published", ()):
        say(
            f"published: {row['model']}, COCO's validation images: box AP "
            f"{row['ap']} %, mask AP {row['mask_ap']} % ({row['source']})"
        )


def _say_classes(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """Says AP of each class, or of those with the lowest; --out has all of them."""
    seen = sorted(
        (row for row in rows if row["objects"]), key=lambda row: row[columns[-1]]
    )
    if len(rows) > _MOST_PRINTED_CLASSES:
        rows = seen[:_MOST_PRINTED_CLASSES]
        say(f"lowest AP of {len(seen)} classes with objects")
    longest = max((len(row["class"]) for row in rows), default=0)
    heads = {"ap": "box AP", "mask_ap": "mask AP"}
    head = "".join(f"{heads[column]:>9}" for column in columns)
    say(f"  {'class':<{longest}}   objects{head}")
    for row in rows:
        values = "".join(f"{percent(row[column]):>9}" for column in columns)
        say(f"  {row['class']:<{longest}}  {row['objects']:>8,}{values}")
