"""Label maps of images as files: PNG maps, colored overlays, and a JSON about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_convnext._files import replacing
from keras_convnext.segmentation import overlay

from .file_stems import FileStems
from .predictions import Answer, frame_fields

MAPS, OVERLAYS, RECORD = "label_maps", "overlays", "predictions.json"


@dataclass(frozen=True)
class LabeledImage:
    """What was found in one image.

    Attributes:
        image: What it was named.
        pixels: Pixels of each class, int64 `(classes,)`.
        size: Its height and width; (0, 0) where there is a problem.
        stem: Of its files' names.
        problem: Why it has no label map; empty where it has one.
        frame: Which frame of a video; None of an image.
        seconds: When it is shown, from the first frame on; None of an image.
    """

    image: str
    pixels: np.ndarray
    size: tuple[int, int]
    stem: str = ""
    problem: str = ""
    frame: int | None = None
    seconds: float | None = None

    @property
    def overlay(self) -> str:
        """The file of its overlay, from the folder on."""
        return f"{OVERLAYS}/{self.stem}.png"

    def answer(self, labels: Sequence[str], top: int) -> Answer:
        """Returns the classes with the most pixels and their shares."""
        shares = self.pixels / max(self.pixels.sum(), 1)
        order = np.argsort(-shares, kind="stable")[:top]
        best = [(labels[n], float(shares[n])) for n in order if self.pixels[n]]
        return Answer(
            self.image, best, self.problem, frame=self.frame, seconds=self.seconds
        )


class LabelMapFolder:
    """Where the files of a command's images go, each under a name of its own.

    Args:
        folder: Made where missing.
        labels: The class names.
        palette: Their colors, uint8 `(classes, 3)`.

    Raises:
        OSError: The folder cannot be made.
    """

    def __init__(self, folder: Path, labels: Sequence[str], palette: np.ndarray):
        self._folder = folder
        self._labels = labels
        self._palette = palette
        self._stems = FileStems()
        for below in (MAPS, OVERLAYS):
            (folder / below).mkdir(parents=True, exist_ok=True)

    def write(
        self,
        name: str,
        image: np.ndarray,
        label_map: np.ndarray,
        frame: int | None = None,
        seconds: float | None = None,
    ) -> LabeledImage:
        """Writes an image's label map and its overlay.

        Args:
            name: What the image was named.
            image: uint8 `(height, width, 3)`.
            label_map: Class numbers `(height, width)`.
            frame: Which frame of a video; None of an image.
            seconds: When it is shown; None of an image.

        Raises:
            OSError: A file cannot be written.
        """
        stem = self._stems.new(name, frame)
        # A PNG's pixels have 8 or 16 bits.
        bits = np.uint8 if label_map.dtype == np.uint8 else np.uint16
        for below, pixels in (
            (MAPS, label_map.astype(bits)),
            (OVERLAYS, overlay(image, label_map, self._palette)),
        ):
            with replacing(self._folder / below / f"{stem}.png") as partial:
                Image.fromarray(pixels).save(partial)
        counts = np.bincount(label_map.ravel(), minlength=len(self._labels))
        height, width = label_map.shape
        size = (height, width)
        return LabeledImage(name, counts, size, stem, frame=frame, seconds=seconds)

    def problem(self, name: str, problem: str) -> LabeledImage:
        """Returns what there is to say of an image without a label map."""
        nothing = np.zeros(len(self._labels), np.int64)
        return LabeledImage(name, nothing, (0, 0), problem=problem)

    def record(self, images: Sequence[LabeledImage]) -> dict[str, Any]:
        """Returns what `predictions.json` holds."""
        return {
            "classes": list(self._labels),
            "colors": self._palette.tolist(),
            "images": [self._entry(each) for each in images],
        }

    def _entry(self, labeled: LabeledImage) -> dict[str, Any]:
        if labeled.problem:
            return {"image": labeled.image, "problem": labeled.problem}
        answer = labeled.answer(self._labels, len(self._labels))
        height, width = labeled.size
        return {
            "image": labeled.image,
            **frame_fields(labeled.frame, labeled.seconds),
            "height": height,
            "width": width,
            "label_map": f"{MAPS}/{labeled.stem}.png",
            "overlay": labeled.overlay,
            "shares": dict(answer.best),
        }
