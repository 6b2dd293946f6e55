"""From an image of any size to its objects: the rule that published figures follow.

The image is resized with its ratio kept, the network finds boxes there, and the boxes
are divided by what the image was multiplied with. Masks stay within their boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from keras_convnext.detection.paste import masks_of_parts
from keras_convnext.preprocessing import WHOLE_MODES, Preprocessing
from keras_convnext.whole_images import resize_image, resized_shape


@dataclass(frozen=True)
class Objects:
    """What was found in one image, the best first.

    Attributes:
        boxes: float32 `(objects, 4)`: y0, x0, y1, x1 in pixels of the image's own size.
        scores: float32 `(objects,)`: probabilities, falling.
        classes: int32 `(objects,)`: class numbers from 0.
        masks: float32 `(objects, 28, 28)`: probabilities within the boxes, which
            `paste_masks` puts into the image; None where the detector has no masks.
        names: The classes' names, where they are known.

    Example:
        >>> import numpy as np
        >>> from keras_convnext.detection import Objects
        >>> boxes = np.float32([[10, 20, 30, 40]])
        >>> len(Objects(boxes, np.float32([0.9]), np.int32([2])))
        1
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    masks: np.ndarray | None = None
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.scores)


def find_objects(
    model: Callable[[np.ndarray], Mapping[str, Any]],
    image: np.ndarray,
    preprocessing: Preprocessing,
) -> Objects:
    """Returns the objects of one image.

    Args:
        model: From images `(1, h, w, channels)` in 0..255, of any height and width, to
            the dictionary of `MaskRCNN`.
        image: `(height, width, channels)` in 0..255, of any size.
        preprocessing: Its `size_px` is the shorter side that the network sees.

    Source: github.com/open-mmlab/mmdetection 3.3.0, its scale (1333, 800) for 800.

    Example:
        >>> import keras_convnext
        >>> import numpy as np
        >>> from keras_convnext.detection import find_objects
        >>> from keras_convnext.preprocessing import Preprocessing
        >>> model = keras_convnext.MaskRCNN("convnext_atto", 3, proposals=20)
        >>> image = np.zeros((50, 90, 3), "uint8")
        >>> find_objects(model, image, Preprocessing(size_px=64)).boxes.shape[1]
        4
    """
    seen = resize_image(image, preprocessing.size_px, WHOLE_MODES["fit"])
    outputs = {
        name: ops.convert_to_numpy(values)[0]
        for name, values in model(seen[np.newaxis]).items()
    }
    return objects_of(outputs, image.shape[:2], seen.shape[:2])


def objects_of(
    outputs: Mapping[str, np.ndarray],
    shape: tuple[int, ...],
    seen: tuple[int, ...],
) -> Objects:
    """Returns the objects of one image, in pixels of its own size.

    Args:
        outputs: Of `MaskRCNN`, of one image: without the axis of the batch.
        shape: Height and width of the image.
        seen: Height and width of what the network saw of it.

    Example:
        >>> import numpy as np
        >>> from keras_convnext.detection.inference import objects_of
        >>> outputs = {
        ...     "boxes": np.float32([[0, 5, 10, 20], [0, 0, 0, 0]]),
        ...     "scores": np.float32([0.9, 0]),
        ...     "classes": np.int32([2, -1]),
        ...     "count": np.int32(1),
        ... }
        >>> objects_of(outputs, (20, 40), (10, 20)).boxes.tolist()
        [[0.0, 10.0, 20.0, 40.0]]
    """
    count = int(outputs["count"])
    # A side was rounded after it was resized: each has its own factor.
    factors = np.array([own / side for own, side in zip(shape, seen, strict=True)] * 2)
    masks = outputs.get("masks")
    return Objects(
        np.asarray(outputs["boxes"][:count] * factors, np.float32),
        np.asarray(outputs["scores"][:count], np.float32),
        np.asarray(outputs["classes"][:count], np.int32),
        None if masks is None else np.asarray(masks[:count], np.float32),
    )


def square_view(image: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Returns an image as a file of one size sees it: whole, in a square.

    It is resized until its longer side has `size_px` pixels, and filled up right and
    below with the mean color.

    Args:
        image: `(height, width, 3)` in 0..255, of any size.
        preprocessing: Its `size_px` is the side of the square.

    Returns:
        float32 `(size_px, size_px, 3)`.

    Example:
        >>> import numpy as np
        >>> from keras_convnext.detection.inference import square_view
        >>> from keras_convnext.preprocessing import Preprocessing
        >>> view = square_view(np.zeros((50, 90, 3)), Preprocessing(size_px=64))
        >>> view.shape, float(view[35].max()), float(view[36].min())
        ((64, 64, 3), 0.0, 103.53...)
    """
    size_px = preprocessing.size_px
    seen = resize_image(image, size_px, 1.0)
    mean, _ = preprocessing.normalization(3)
    view = np.full((size_px, size_px, 3), mean, np.float32)
    view[: seen.shape[0], : seen.shape[1]] = seen
    return view


def objects_in_square(
    outputs: Mapping[str, np.ndarray], shape: tuple[int, ...], size_px: int
) -> Objects:
    """Returns the objects of one image that was seen as `square_view`.

    Args:
        outputs: As for `objects_of`, found in the square.
        shape: Height and width of the image.
        size_px: Side of the square.

    Returns:
        Those that are in the image; in the filled part of the square there may be more.
    """
    height, width = shape[:2]
    seen = resized_shape(height, width, size_px, 1.0)
    found = objects_of(outputs, (height, width), seen)
    boxes = np.minimum(found.boxes, np.array([height, width] * 2, np.float32))
    is_inside = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    masks = found.masks
    if masks is not None:
        masks = masks_of_parts(
            masks[is_inside], found.boxes[is_inside], boxes[is_inside]
        )
    return Objects(
        boxes[is_inside], found.scores[is_inside], found.classes[is_inside], masks
    )
