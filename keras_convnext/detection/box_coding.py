"""Boxes as differences from other boxes, which networks predict, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

STDS = (1.0, 1.0, 1.0, 1.0)
# The largest factor on a side, either way. Source: mmdetection 3.3.0, its box coder.
_MOST = abs(math.log(16 / 1000))


def encode_boxes(boxes: Any, references: Any, stds: Sequence[float] = STDS) -> Any:
    """Returns boxes as differences from reference boxes.

    Args:
        boxes: `(..., 4)`: y0, x0, y1, x1 in pixels, sides above zero.
        references: `(..., 4)`: anchors or proposals, likewise.
        stds: What the four differences are divided by.

    Returns:
        `(..., 4)`: dx, dy, dw, dh. The first two are the centers' distance in sides of
        the reference, the others logarithms of the sides' ratios.

    Source: arXiv:1311.2524, appendix C.

    Example:
        >>> import numpy as np
        >>> from keras_convnext.detection import encode_boxes
        >>> box, reference = np.array([[0, 2, 4, 6.0]]), np.array([[0, 0, 4, 4.0]])
        >>> encode_boxes(box, reference).numpy().tolist()
        [[0.5, 0.0, 0.0, 0.0]]
    """
    boxes, references = _of_one_dtype(boxes, references)
    y, x, height, width = _centers(boxes)
    from_y, from_x, from_height, from_width = _centers(references)
    deltas = ops.stack(
        [
            (x - from_x) / from_width,
            (y - from_y) / from_height,
            ops.log(width / from_width),
            ops.log(height / from_height),
        ],
        -1,
    )
    return deltas / ops.convert_to_tensor(stds, dtype=deltas.dtype)


def decode_boxes(
    deltas: Any,
    references: Any,
    stds: Sequence[float] = STDS,
    size: tuple[Any, Any] | None = None,
) -> Any:
    """Returns the boxes that differences from reference boxes mean.

    Args:
        deltas: `(..., 4)`: dx, dy, dw, dh, as `encode_boxes` returns them.
        references: `(..., 4)`: y0, x0, y1, x1 in pixels.
        stds: What the four differences were divided by.
        size: Height and width in pixels that boxes are clipped to, if any; numbers or
            tensors of any shape that goes with `(...)`.

    Returns:
        `(..., 4)`: y0, x0, y1, x1 in pixels. No side is more than 62.5 times as long
        or as short as the reference's.

    Source: arXiv:1311.2524, appendix C.

    Example:
        >>> import numpy as np
        >>> from keras_convnext.detection import decode_boxes
        >>> deltas, reference = np.array([[0.5, 0, 0, 0]]), np.array([[0, 0, 4, 4.0]])
        >>> decode_boxes(deltas, reference, size=(4, 5)).numpy().tolist()
        [[0.0, 2.0, 4.0, 5.0]]
    """
    deltas, references = _of_one_dtype(deltas, references)
    deltas = deltas * ops.convert_to_tensor(stds, dtype=deltas.dtype)
    y, x, height, width = _centers(references)
    x = x + width * deltas[..., 0]
    y = y + height * deltas[..., 1]
    width = width * ops.exp(ops.clip(deltas[..., 2], -_MOST, _MOST))
    height = height * ops.exp(ops.clip(deltas[..., 3], -_MOST, _MOST))
    corners = [y - height / 2, x - width / 2, y + height / 2, x + width / 2]
    if size is not None:
        ends = [ops.cast(side, deltas.dtype) for side in size]
        corners = [
            ops.minimum(ops.maximum(corner, 0), end)
            for corner, end in zip(corners, [*ends, *ends], strict=True)
        ]
    return ops.stack(corners, -1)


def clip_sides(image: Any, axes: int) -> tuple[Any, Any]:
    """Returns the height and width that an image's boxes are clipped to.

    Args:
        image: Images `(batch, height, width, channels)`; or where they are padded,
            their own heights and widths, `(batch, 2)`.
        axes: Of a corner's tensor, `(batch, ...)`.
    """
    if len(image.shape) == 4:
        height, width = ops.shape(image)[1:3]
        return height, width
    height, width = (
        ops.reshape(image[:, index], (-1, *[1] * (axes - 1))) for index in (0, 1)
    )
    return height, width


def _of_one_dtype(*values: Any) -> list[Any]:
    """Returns tensors of the dtype that arithmetic on all of them has."""
    tensors = [ops.convert_to_tensor(value) for value in values]
    dtype = keras.backend.result_type(*(each.dtype for each in tensors), float)
    return [ops.cast(each, dtype) for each in tensors]


def _centers(boxes: Any) -> tuple[Any, Any, Any, Any]:
    """Returns centers and sides: y, x, height, width."""
    y0, x0, y1, x1 = (boxes[..., index] for index in range(4))
    return (y0 + y1) / 2, (x0 + x1) / 2, y1 - y0, x1 - x0
