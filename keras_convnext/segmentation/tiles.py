"""Label maps of whole images by a network of one size that gives label maps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keras_convnext.segmentation.inference import label_dtype
from keras_convnext.segmentation.sliding import window_starts
from keras_convnext.whole_images import resize_image


def label_by_tiles(
    predict: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    size_px: int,
    classes: int,
) -> np.ndarray:
    """Labels every pixel of one image, tile by tile.

    The image is resized as `resize_image` does, and the nearest label is taken at its
    own size: there are no logits to average or to resize.

    Args:
        predict: From float32 images `(1, size_px, size_px, channels)` in 0..255 to
            class numbers `(1, size_px, size_px)`: a TFLite file, for one.
        image: `(height, width, channels)` in 0..255, of any size.
        size_px: Side of the images that `predict` takes.
        classes: Number of classes.

    Returns:
        `(height, width)`: uint8, or int32 for more than 255 classes.

    Example:
        >>> import numpy as np
        >>> from keras_convnext.segmentation.tiles import label_by_tiles
        >>> def predict(images):
        ...     return images[..., 0] > 127
        >>> image = np.zeros((8, 12, 3), "uint8")
        >>> image[:, 6:] = 255
        >>> label_by_tiles(predict, image, size_px=32, classes=2)[0].tolist()
        [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    """
    resized = resize_image(image, size_px)
    height, width = resized.shape[:2]
    # A long image is lower than a tile.
    missing = [(0, max(size_px - side, 0)) for side in (height, width)]
    padded = np.pad(resized, [*missing, (0, 0)], mode="edge")
    labels = np.empty(padded.shape[:2], label_dtype(classes))
    for top in window_starts(len(padded), size_px, size_px):
        for left in window_starts(padded.shape[1], size_px, size_px):
            tile = slice(top, top + size_px), slice(left, left + size_px)
            labels[tile] = predict(padded[tile][np.newaxis])[0]
    rows, columns = (
        ((np.arange(own) + 0.5) * (side / own)).astype(int)
        for own, side in zip(image.shape[:2], (height, width), strict=True)
    )
    return np.asarray(labels[rows[:, np.newaxis], columns])
