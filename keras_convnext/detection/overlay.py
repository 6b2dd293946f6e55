"""Objects drawn over their image: boxes, and masks in the colors of classes."""

from __future__ import annotations

import numpy as np

# How many lines as wide as a box's outline the longer side of an image holds.
_LINES = 120


def draw_objects(
    image: np.ndarray,
    boxes: np.ndarray,
    classes: np.ndarray,
    palette: np.ndarray,
    masks: np.ndarray | None = None,
    opacity: float = 0.4,
) -> np.ndarray:
    """Draws objects over their image, the first ones on top.

    Args:
        image: `(height, width, 3)` in 0..255.
        boxes: `(objects, 4)`: y0, x0, y1, x1 in pixels of the image.
        classes: Class numbers, `(objects,)`.
        palette: A color for each class, uint8 `(classes, 3)`.
        masks: bool `(objects, height, width)`, as `paste_masks` returns them; None
            draws the boxes alone.
        opacity: Of the masks, 0 to 1; outlines are opaque.

    Returns:
        uint8 `(height, width, 3)`.

    Example:
        >>> import numpy as np
        >>> from keras_convnext.detection import draw_objects
        >>> image, boxes = np.zeros((6, 6, 3), "uint8"), np.array([[1, 1, 4, 5]])
        >>> drawn = draw_objects(image, boxes, np.array([0]), np.array([[9, 0, 0]]))
        >>> drawn[1:4, :, 0].tolist()
        [[0, 9, 9, 9, 9, 0], [0, 9, 0, 0, 9, 0], [0, 9, 9, 9, 9, 0]]
    """
    height, width = image.shape[:2]
    drawn = np.array(image, np.uint8)
    line = -(-max(height, width) // _LINES)
    corners = np.clip(np.rint(boxes).astype(int), 0, [height, width] * 2)
    for index in reversed(range(len(boxes))):
        color = palette[classes[index]]
        if masks is not None:
            mixed = opacity * color + (1 - opacity) * drawn[masks[index]]
            drawn[masks[index]] = np.rint(mixed).astype(np.uint8)
        top, left, bottom, right = corners[index]
        inside = drawn[top:bottom, left:right]
        for edge in (
            inside[:line],
            inside[-line:],
            inside[:, :line],
            inside[:, -line:],
        ):
            edge[:] = color
    return drawn
