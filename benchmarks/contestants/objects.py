"""The objects that every detector learns, and what makes random weights find some."""

from __future__ import annotations

from typing import Any

import numpy as np

OBJECTS = 10
# Probabilities of random weights would all stay below the threshold of an object.
SCALE_OF_CLASSES = 20.0


def truth(case: dict[str, Any]) -> dict[str, np.ndarray]:
    """Returns the objects: boxes y0, x0, y1, x1, and the upper half of each as mask."""
    random = np.random.default_rng(0)
    size, batch = np.array(case["size_px"]), case["batch"]
    corners = random.uniform(0, 0.7, (batch, OBJECTS, 2)) * size
    sides = random.uniform(0.05, 0.3, (batch, OBJECTS, 2)) * size
    boxes = np.concatenate([corners, corners + sides], -1).astype("float32")
    rows, columns = np.mgrid[: size[0], : size[1]]
    y0, x0, y1, x1 = np.moveaxis(boxes, -1, 0)[..., None, None]
    inside = (rows >= y0) & (rows < (y0 + y1) / 2) & (columns >= x0) & (columns < x1)
    classes = random.integers(0, case["classes"], (batch, OBJECTS))
    return {
        "size": np.tile(size, (batch, 1)).astype("int32"),
        "boxes": boxes,
        "classes": classes.astype("int32"),
        "masks": inside.astype("uint8"),
        "seed": random.integers(0, 1000, (batch, 2)).astype("int32"),
    }
