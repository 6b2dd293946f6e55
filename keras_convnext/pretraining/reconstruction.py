"""The patches that are to be predicted, the loss, and the image that comes out."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from keras_convnext.preprocessing import IMAGENET, Preprocessing

# Added to a patch's variance. Source: the official code's `forward_loss`.
_EPSILON = 1e-6
# What masked patches are drawn in.
_GRAY = 128.0


def cut_patches(images: Any, side: int) -> Any:
    """Returns an image's patches, row by row.

    Args:
        images: Tensor `(batch, height, width, channels)`; height and width are
            multiples of the side.
        side: Of a patch, in pixels.

    Returns:
        `(batch, patches, side * side * channels)`; a patch's numbers lie in the order
        of row, column and channel.

    Source: arXiv:2301.00808, section 3.1; the official code's `patchify`.

    Example:
        >>> import numpy as np
        >>> from keras_convnext.pretraining import cut_patches
        >>> tuple(cut_patches(np.zeros((2, 64, 96, 3), "float32"), 32).shape)
        (2, 6, 3072)
    """
    height, width, channels = images.shape[1:]
    rows, columns = height // side, width // side
    cut = ops.reshape(images, (-1, rows, side, columns, side, channels))
    cut = ops.transpose(cut, (0, 1, 3, 2, 4, 5))
    return ops.reshape(cut, (-1, rows * columns, side * side * channels))


def normalize_patches(patches: Any) -> Any:
    """Returns patches with mean 0 and variance 1 each.

    The variance is the unbiased one, a sum divided by one less than the count, and
    1e-6 is added to it.

    Args:
        patches: Tensor `(..., numbers)`, the numbers of a patch's pixels.

    Source: arXiv:2301.00808, section 3.1; the official code's `forward_loss`.

    Example:
        >>> import numpy as np
        >>> from keras_convnext.pretraining import normalize_patches
        >>> np.round(normalize_patches(np.array([[1.0, 2.0, 3.0]])), 3).tolist()
        [[-1.0, 0.0, 1.0]]
    """
    mean, deviation = _moments(patches)
    return (patches - mean) / deviation


def reconstruction_losses(targets: Any, predictions: Any) -> Any:
    """Returns each image's loss: the mean squared error over its masked patches.

    Args:
        targets: The masked patches of normalized images, `(batch, masked, numbers)`.
            Each is normalized here once more, by its own mean and deviation.
        predictions: Of the same shape.

    Returns:
        float32 `(batch,)`.

    Source: arXiv:2301.00808, section 3.1; the official code's `forward_loss`.

    Example:
        >>> import numpy as np
        >>> from keras_convnext.pretraining import reconstruction_losses
        >>> targets = np.array([[[1.0, 2.0, 3.0]]], "float32")
        >>> np.round(reconstruction_losses(targets, np.zeros_like(targets)), 3)
        array([0.667], dtype=float32)
    """
    targets, predictions = (
        ops.cast(each, "float32") for each in (targets, predictions)
    )
    errors = ops.square(predictions - normalize_patches(targets))
    return ops.mean(ops.mean(errors, axis=-1), axis=-1)


def take_patches(patches: Any, numbers: Any) -> Any:
    """Returns some patches of each image.

    Args:
        patches: Tensor `(batch, patches, channels)`.
        numbers: Which, int32 `(batch, some)`.
    """
    count, channels = patches.shape[1:]
    first = count * ops.arange(ops.shape(numbers)[0], dtype="int32")[:, None]
    rows = ops.reshape(ops.cast(numbers, "int32") + first, (-1,))
    taken = ops.take(ops.reshape(patches, (-1, channels)), rows, axis=0)
    return ops.reshape(taken, (-1, numbers.shape[1], channels))


def reconstruct(
    images: Any,
    order: Any,
    predictions: Any,
    preprocessing: Preprocessing = IMAGENET,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns images as the network saw them, and with its predictions in the gaps.

    A prediction is of a normalized patch. Mean and deviation are taken from the true
    one, so that a patch's brightness and contrast are not the network's work.

    Args:
        images: `(batch, height, width, channels)` in 0..255.
        order: Of their patches, `(batch, patches)`: visible ones, then masked ones.
        predictions: Of the masked patches, `(batch, masked, side * side * channels)`.
        preprocessing: Its mean and deviation are the network's.

    Returns:
        Two arrays of uint8 `(batch, height, width, channels)`; masked patches of the
        first are gray.

    Source: arXiv:2301.00808, section 3.1.

    Example:
        >>> import numpy as np
        >>> from keras_convnext.pretraining import reconstruct
        >>> images = np.full((1, 2, 4, 1), 200.0, "float32")
        >>> seen, filled = reconstruct(images, [[1, 0]], np.zeros((1, 1, 4)))
        >>> seen[0, 0, :, 0].tolist(), filled[0, 0, :, 0].tolist()
        ([128, 128, 200, 200], [200, 200, 200, 200])
    """
    images, predictions = np.asarray(images, "float32"), np.asarray(predictions)
    height, width, channels = images.shape[1:]
    side = round((predictions.shape[-1] / channels) ** 0.5)
    mean, variance = map(np.asarray, preprocessing.normalization(channels))
    normalized = ((images - mean) / np.sqrt(variance)).astype("float32")
    patches = np.array(ops.convert_to_numpy(cut_patches(normalized, side)))
    masked = np.asarray(order)[:, -predictions.shape[1] :]
    image = np.arange(len(images))[:, None]
    true_mean, deviation = map(np.asarray, _moments(patches[image, masked]))

    def fill_in(masked_patches: Any) -> np.ndarray:
        patches[image, masked] = masked_patches
        grid = (-1, height // side, width // side, side, side, channels)
        whole = patches.reshape(grid).transpose(0, 1, 3, 2, 4, 5).reshape(images.shape)
        pixels: np.ndarray = np.clip(np.round(whole * np.sqrt(variance) + mean), 0, 255)
        return pixels.astype("uint8")

    gray = np.tile((_GRAY - mean) / np.sqrt(variance), side * side)
    return fill_in(gray), fill_in(predictions * deviation + true_mean)


def _moments(patches: Any) -> tuple[Any, Any]:
    """Returns mean and deviation of each patch, `(..., 1)`."""
    mean = ops.mean(patches, axis=-1, keepdims=True)
    squares = ops.sum(ops.square(patches - mean), axis=-1, keepdims=True)
    return mean, ops.sqrt(squares / (patches.shape[-1] - 1) + _EPSILON)
