"""What a mask head is to say: the object's true mask inside of a box."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_convnext.detection._bin_weights import bin_weights

# Boxes that are computed at a time: each reads a whole mask.
_CHUNK = 8


def crop_masks(masks: Any, numbers: Any, boxes: Any, size: int) -> Any:
    """Crops objects' masks to boxes, as RoIAlign does, and rounds them.

    Args:
        masks: `(batch, objects, height, width)`, 0 or 1.
        numbers: int32 `(batch, n)`: whose mask each box gets.
        boxes: float32 `(batch, n, 4)`: y0, x0, y1, x1 in pixels.
        size: Cells of a cropped mask in each direction.

    Returns:
        float32 `(batch, n, size, size)`, 0 or 1; zeros for a box without an area.

    Source: arXiv:1703.06870, section 3; mmdetection 3.3.0, its BitmapMasks.
    """
    boxes = ops.stop_gradient(ops.cast(boxes, "float32"))
    batch, objects, height, width = ops.shape(masks)
    count = ops.shape(boxes)[1]
    masks = ops.reshape(masks, (-1, height, width))
    image = ops.arange(batch, dtype="int32")[:, None] * objects
    missing = -(batch * count) % _CHUNK
    numbers = ops.pad(ops.reshape(numbers + image, (-1,)), [(0, missing)])
    boxes = ops.pad(ops.reshape(boxes, (-1, 4)) - 0.5, [(0, missing), (0, 0)])

    def crop(chunk: tuple[Any, Any]) -> Any:
        numbers, boxes = chunk
        rows, columns = (
            bin_weights(
                boxes[:, axis],
                boxes[:, axis + 2],
                ops.full((_CHUNK,), length, "int32"),
                ops.arange(length, dtype="int32")[None, :],
                size,
            )
            for axis, length in enumerate((height, width))
        )
        whole = ops.cast(ops.take(masks, numbers, axis=0), "float32")
        # The bins of a row of the mask first: the longer side shrinks at once.
        across = ops.matmul(whole, columns)
        return ops.matmul(ops.transpose(rows, (0, 2, 1)), across)

    chunks = (
        ops.reshape(numbers, (-1, _CHUNK)),
        ops.reshape(boxes, (-1, _CHUNK, 4)),
    )
    cropped = ops.reshape(ops.map(crop, chunks), (-1, size, size))[: batch * count]
    is_inside = ops.cast(cropped >= 0.5, "float32")
    return ops.reshape(is_inside, (batch, count, size, size))
