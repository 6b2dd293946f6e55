"""Images with objects for tests: PNG files, and their annotations as COCO has them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = ("square", "bar")
# COCO's own numbers have gaps, and come in no order.
CATEGORIES = [{"id": 7, "name": "bar"}, {"id": 3, "name": "square"}]


def polygon(left: float, top: float, width: float, height: float) -> list[float]:
    """The corners of a rectangle, x and y in turn."""
    right, bottom = left + width, top + height
    return [left, top, right, top, right, bottom, left, bottom]


def annotation(number: int, image: int, box: Sequence[float], category: int = 3) -> Any:
    """A rectangle, as JSON has it."""
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": list(box),
        "area": box[2] * box[3],
        "iscrowd": 0,
        "segmentation": [polygon(*box)],
    }


def content(count: int = 6) -> dict[str, list[Any]]:
    """Annotations of some images: a square and a bar each, nothing in the last one.

    Every second image is high, the others are wide. Their ids begin at 50.
    """
    images, annotations = [], []
    for number in range(count):
        width, height = (40, 24) if number % 2 == 0 else (24, 40)
        images.append(
            {
                "id": 50 + number,
                "file_name": f"{number}.png",
                "width": width,
                "height": height,
            }
        )
        if number < count - 1:
            square = annotation(2 * number + 9, 50 + number, (4 + number, 5, 8, 8))
            bar = annotation(2 * number + 10, 50 + number, (2, 16, 14, 3), category=7)
            annotations += [square, bar]
    categories = [dict(category) for category in CATEGORIES]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_images(folder: Path, written: dict[str, list[Any]]) -> None:
    """Writes images that show their objects: a level for each class."""
    folder.mkdir(parents=True, exist_ok=True)
    for image in written["images"]:
        pixels = np.zeros((image["height"], image["width"], 3), np.uint8)
        for one in written["annotations"]:
            if one["image_id"] == image["id"]:
                left, top, width, height = map(int, one["bbox"])
                level = 100 * (1 + (one["category_id"] == 7))
                pixels[top : top + height, left : left + width] = level
        Image.fromarray(pixels).save(folder / image["file_name"])


def write_coco(root: Path, written: dict[str, list[Any]]) -> Path:
    """Writes annotations/instances.json and images/, and returns their folder."""
    write_images(root / "images", written)
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations/instances.json").write_text(json.dumps(written))
    return root
