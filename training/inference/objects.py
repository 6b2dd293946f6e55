"""Objects in images as files: overlays, and a JSON file as COCO has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hotcoco import mask as run_lengths
from PIL import Image, ImageDraw, ImageFont

from keras_convnext._files import replacing
from keras_convnext.detection.coco_results import to_results
from keras_convnext.detection.inference import Objects
from keras_convnext.detection.overlay import draw_objects
from keras_convnext.detection.paste import paste_masks
from keras_convnext.segmentation.palette import palette_for

from ..evaluation.coco_metrics import LEAST_SCORE
from .file_stems import FileStems
from .predictions import frame_fields

OVERLAYS, RECORD = "overlays", "predictions.json"
# How many lines of text an image's longer side would hold.
_LINES = 45
_LEAST_TEXT_PX = 10
# Colors above it get black letters. Source: ITU-R BT.601's luma.
_LUMA = (0.299, 0.587, 0.114)
_BRIGHT = 140


class ObjectFolder:
    """Where the files of a command's images go, each under a name of its own.

    Args:
        folder: Made where missing.
        labels: The class names.

    Raises:
        OSError: The folder cannot be made.
    """

    def __init__(self, folder: Path, labels: Sequence[str]):
        self._folder = folder
        self._labels = labels
        self._palette = palette_for(labels)
        self._stems = FileStems()
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._problems: list[dict[str, str]] = []
        (folder / OVERLAYS).mkdir(parents=True, exist_ok=True)

    def write(
        self,
        name: str,
        image: np.ndarray,
        objects: Objects,
        frame: int | None = None,
        seconds: float | None = None,
    ) -> tuple[str, Path]:
        """Writes an image's overlay.

        Args:
            name: What the image was named.
            image: uint8 `(height, width, 3)`.
            objects: What was found.
            frame: Which frame of a video; None of an image.
            seconds: When it is shown; None of an image.

        Returns:
            What it shows, such as "2 red, 1 blue", and the overlay's file.

        Raises:
            OSError: The file cannot be written.
        """
        height, width = image.shape[:2]
        overlay = f"{OVERLAYS}/{self._stems.new(name, frame)}.png"
        with replacing(self._folder / overlay) as partial:
            drawn = label_objects(image, objects, self._labels, self._palette)
            Image.fromarray(drawn).save(partial)
        number = len(self._images)
        size = {"height": height, "width": width}
        where = frame_fields(frame, seconds)
        self._images.append(
            {"id": number, "file_name": name, **where, **size, "overlay": overlay}
        )
        categories = range(len(self._labels))
        for each in to_results(objects, number, (height, width), categories):
            _, _, wide, high = each["bbox"]
            area = wide * high
            if "segmentation" in each:
                area = float(run_lengths.area(each["segmentation"]))
            more = {"area": area, "iscrowd": 0}
            self._annotations.append({"id": len(self._annotations) + 1, **each, **more})
        sure = objects.classes[objects.scores >= LEAST_SCORE]
        counts = Counter(self._labels[label] for label in sure)
        told = ", ".join(f"{count} {label}" for label, count in counts.most_common())
        return told or "nothing", self._folder / overlay

    def problem(self, name: str, problem: str) -> None:
        """Takes down why an image has no objects."""
        self._problems.append({"file_name": name, "problem": problem})

    def record(self) -> dict[str, Any]:
        """Returns what `predictions.json` holds: COCO's instances, with scores."""
        return {
            "images": self._images,
            "categories": [
                {"id": number, "name": name} for number, name in enumerate(self._labels)
            ],
            "annotations": self._annotations,
            "problems": self._problems,
        }


def label_objects(
    image: np.ndarray, objects: Objects, labels: Sequence[str], palette: np.ndarray
) -> np.ndarray:
    """Draws the objects of an image that are sure enough, with names and scores.

    Args:
        image: uint8 `(height, width, 3)`.
        objects: What was found in it.
        labels: The class names.
        palette: Their colors, uint8 `(classes, 3)`.

    Returns:
        uint8 `(height, width, 3)`.
    """
    height, width = image.shape[:2]
    chosen = np.flatnonzero(objects.scores >= LEAST_SCORE)[::-1]
    drawn = image
    # One at a time: the masks of many objects in a large image would fill the memory.
    for one in chosen:
        box, label = objects.boxes[[one]], objects.classes[[one]]
        masks = None
        if objects.masks is not None:
            masks = paste_masks(objects.masks[[one]], box, height, width)
        drawn = draw_objects(drawn, box, label, palette, masks)
    written = Image.fromarray(drawn)
    pen = ImageDraw.Draw(written)
    font = ImageFont.load_default(max(max(height, width) // _LINES, _LEAST_TEXT_PX))
    for one in chosen:
        y0, x0 = (float(side) for side in objects.boxes[one, :2])
        color = palette[objects.classes[one]]
        text = f"{labels[objects.classes[one]]} {objects.scores[one]:.2f}"
        left, top, right, bottom = pen.textbbox((x0, y0), text, font)
        # Above its box; within it at the image's upper border.
        up = bottom - y0 if y0 >= bottom - y0 else 0.0
        pen.rectangle((left, top - up, right, bottom - up), fill=tuple(color.tolist()))
        ink = "black" if color @ np.array(_LUMA) > _BRIGHT else "white"
        pen.text((x0, y0 - up), text, fill=ink, font=font)
    return np.asarray(written)
