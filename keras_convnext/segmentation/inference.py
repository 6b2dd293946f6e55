"""From an image of any size to its label map: the rule that published figures follow.

The image is resized with its ratio kept, the network gives logits there, the logits are
resized to the image's own size, and each pixel gets the class of its largest logit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_convnext.segmentation.sliding import sliding_logits
from keras_convnext.whole_images import resize, resize_image

# Source: mmsegmentation 1.2.2, configs/_base_/datasets/ade20k.py.
RATIOS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
# Logits that are resized at a time: 64 MB, however large the image.
_ELEMENTS = 2**24

Predict = Callable[[np.ndarray], Any]


def logits_model(model: keras.Model) -> keras.Model:
    """Returns a model of the same weights that gives logits instead of probabilities.

    Args:
        model: Any that labels pixels, with probabilities: one that ends with a softmax
            is cut before it, of another one the logarithm is taken. Both differ from
            its logits by what all classes of a pixel share, which changes no label and
            no probability, however they are resized.

    Example:
        >>> import keras_convnext
        >>> from keras_convnext.segmentation.inference import logits_model
        >>> arguments = {"classes": 2, "classifier_activation": "softmax"}
        >>> model = keras_convnext.UPerNet("convnext_atto", **arguments)
        >>> logits_model(model).layers[-1].name
        'decode_resize'
    """
    last = model.layers[-1]
    if _is_softmax(last) and model.outputs[0] is last.output:
        return keras.Model(model.input, last.input, name=model.name)
    tiny = float(np.finfo(np.float32).tiny)
    logarithm = ops.log(ops.maximum(ops.cast(model.outputs[0], "float32"), tiny))
    return keras.Model(model.input, logarithm, name=model.name)


def _is_softmax(layer: Any) -> bool:
    if isinstance(layer, keras.layers.Softmax):
        return bool(layer.axis == -1)
    is_activation = isinstance(layer, keras.layers.Activation)
    return is_activation and bool(layer.activation is keras.activations.softmax)


def predict_logits(
    predict: Predict, image: np.ndarray, size_px: int, *, slide: bool = False
) -> np.ndarray:
    """Returns the logits of one image, in the size that the network sees.

    Args:
        predict: From images `(1, h, w, channels)` in 0..255, of any height and width,
            to logits `(1, h, w, classes)`.
        image: `(height, width, channels)` in 0..255, of any size.
        size_px: Side of the crops that the network was trained on.
        slide: Whether `predict` sees windows of that size, as for published figures of
            one scale, instead of the whole image.

    Returns:
        float32 `(*resized_shape(height, width, size_px), classes)`.
    """
    images = resize_image(image, size_px)[np.newaxis]
    if slide:
        # The published strides, 341 of 512 and 426 of 640, are two thirds of a crop.
        window, stride = (size_px,) * 2, (size_px * 2 // 3,) * 2
        logits = sliding_logits(predict, images, window, stride)
    else:
        logits = ops.convert_to_numpy(predict(images))
    return np.asarray(logits[0], np.float32)


def predict_label_map(
    predict: Predict,
    image: np.ndarray,
    size_px: int,
    *,
    slide: bool = False,
    ratios: Sequence[float] = (1.0,),
    flip: bool = False,
) -> np.ndarray:
    """Labels every pixel of one image.

    Args:
        predict: From images `(1, h, w, channels)` in 0..255, of any height and width,
            to logits `(1, h, w, classes)`: a UPerNet without its activation.
        image: `(height, width, channels)` in 0..255, of any size.
        size_px: Side of the crops that the network was trained on.
        slide: Whether `predict` sees windows of that size instead of the whole image.
        ratios: Factors of `size_px` to look at the image in. The probabilities of
            several are averaged at the image's own size; `RATIOS` are the published.
        flip: Whether each is looked at mirrored, too.

    Returns:
        `(height, width)` of class numbers: uint8, or int32 for more than 255 classes.

    Source: github.com/open-mmlab/mmsegmentation 1.2.2, its EncoderDecoder.

    Example:
        >>> import keras_convnext
        >>> import numpy as np
        >>> from keras_convnext.segmentation import predict_label_map
        >>> arguments = {"classes": 3, "input_shape": (None, None, 3)}
        >>> model = keras_convnext.UPerNet("convnext_atto", **arguments)
        >>> image = np.zeros((50, 90, 3), "uint8")
        >>> label_map = predict_label_map(model.predict_on_batch, image, size_px=32)
        >>> label_map.shape, str(label_map.dtype)
        ((50, 90), 'uint8')
    """
    height, width = image.shape[:2]
    if len(ratios) == 1 and not flip:
        side = int(size_px * ratios[0])
        return to_label_map(
            predict_logits(predict, image, side, slide=slide), height, width
        )
    total: Any = 0.0
    for ratio in ratios:
        for step in (1, -1)[: 1 + flip]:
            logits = predict_logits(
                predict, image[:, ::step], int(size_px * ratio), slide=slide
            )
            probabilities = ops.softmax(resize(logits, (height, width)))
            total = total + ops.convert_to_numpy(probabilities)[:, ::step]
    return to_label_map(total, height, width)


def to_label_map(logits: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns the class of each pixel of an image, from logits of another size.

    The logits are resized bilinearly, some rows at a time, so that an image of any size
    needs little memory.

    Args:
        logits: `(h, w, classes)`.
        height: Of the image, in pixels.
        width: Of the image, in pixels.

    Returns:
        `(height, width)`: uint8, or int32 for more than 255 classes.

    Source: github.com/open-mmlab/mmsegmentation 1.2.2, its EncoderDecoder.

    Example:
        >>> import numpy as np
        >>> from keras_convnext.segmentation import to_label_map
        >>> logits = np.array([[[0.0, 3.0], [2.0, 0.0]]])
        >>> to_label_map(logits, 1, 4).tolist()
        [[1, 1, 0, 0]]
    """
    rows, classes = len(logits), logits.shape[-1]
    found = np.empty((height, width), label_dtype(classes))
    lower, upper, weight = _neighbors(rows, height)
    at_once = max(_ELEMENTS // (width * classes), 1)
    for first in range(0, height, at_once):
        part = slice(first, first + at_once)
        start, end = lower[first], upper[part][-1] + 1
        source = logits[start:end].astype(np.float32)
        wide = resize(source, (end - start, width))
        above, below = wide[lower[part] - start], wide[upper[part] - start]
        found[part] = ops.convert_to_numpy(
            ops.argmax(above + (below - above) * weight[part, None, None], axis=-1)
        )
    return found


def label_dtype(classes: int) -> str:
    """Returns the integers of a label map: 255 of uint8 means no class.

    Args:
        classes: Number of classes.
    """
    return "uint8" if classes <= 255 else "int32"


def _neighbors(rows: int, height: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the rows above and below the center of each row of a resized image.

    Args:
        rows: Before.
        height: After.

    Returns:
        Their numbers, and the weight of the one below in 0..1.
    """
    place = (np.arange(height) + 0.5) * (rows / height) - 0.5
    lower = np.floor(place).astype(int)
    weight = (place - lower).astype(np.float32)
    last = rows - 1
    return np.clip(lower, 0, last), np.clip(lower + 1, 0, last), weight
