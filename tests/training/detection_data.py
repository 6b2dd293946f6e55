"""A detection that is small and complete: shapes on noise, and its recipe's data."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as run_lengths

from tests.training.segmentation_data import SIDE_PX, shapes

__all__ = ["CLASSES", "SIDE_PX", "write_shapes"]

CLASSES = ("square", "disk")


def write_shapes(folder: Path, training: int = 24, validation: int = 5) -> str:
    """Writes images of two sizes with their annotations; returns what `--data` takes.

    Each image has a red square and, perhaps over a part of it, a blue disk.
    """
    (folder / "images").mkdir(parents=True)
    files = []
    for part, numbers in (
        ("train", range(training)),
        ("val", range(100, 100 + validation)),
    ):
        images, annotations = [], []
        for number in numbers:
            pixels, labels = shapes(number, height=40 + 8 * (number % 2))
            Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
            height, width = labels.shape
            image = {"id": number, "file_name": f"{number}.png"}
            images.append(image | {"height": height, "width": width})
            for label in (1, 2):
                if not (labels == label).any():
                    continue
                annotations.append(
                    {"id": len(annotations) + 1, "image_id": number, "iscrowd": 0}
                    | {"category_id": label}
                    | _shape(labels == label)
                )
        categories = [{"id": n + 1, "name": name} for n, name in enumerate(CLASSES)]
        written = {"images": images, "annotations": annotations}
        file = folder / f"instances_{part}.json"
        file.write_text(json.dumps(written | {"categories": categories}))
        files.append(str(file))
    return f"coco:{','.join(files)}:{folder / 'images'}"


def _shape(mask: np.ndarray) -> dict[str, object]:
    """Returns the box, the area and the run lengths of a mask."""
    runs = run_lengths.encode(np.asfortranarray(mask, np.uint8))
    return {
        "bbox": run_lengths.toBbox(runs).tolist(),
        "area": int(run_lengths.area(runs)),
        "segmentation": {**runs, "counts": runs["counts"].decode()},
    }
