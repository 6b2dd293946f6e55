"""Weights and images that anybody can draw again from their names.

Both sides of a comparison fill their parameters from here, so that no weight file is
stored: every tensor is drawn by a generator seeded with the tensor's name in this
project, "stage0_block0_dwconv/kernel". NumPy alone, because the side that is compared
with may have no Keras.
"""

import hashlib

import numpy as np

# Height and width differ and neither is a multiple of 32, so that a transposed axis or
# another way of rounding shows. Two images, so that a mixed batch shows.
IMAGES_SHAPE = (2, 72, 88, 3)
# What runs between the blocks is kept this small: its variance, about 1e-5, is then
# near the norms' epsilon of 1e-6, and another epsilon in any norm shows.
STREAM_SIZE = 0.003
INTO_THE_STREAM = (
    "stem_conv/kernel",
    "stem_conv/bias",
    "stem_norm/gamma",
    "stem_norm/beta",
    "_downsample_conv/kernel",
    "_downsample_conv/bias",
    "_dwconv/bias",
    "_project/kernel",
    "_project/bias",
)


def _uniform(name: str, shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    draws = np.random.Generator(np.random.PCG64(seed)).random(shape, dtype="float32")
    return np.float32(low) + np.float32(high - low) * draws


def weights(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the float32 values of the tensor `name` in Keras' layout.

    Kernels keep the size of what passes through them. Gammas, betas and biases are
    large enough for every block and every norm to count.

    Args:
        name: A layer's name and a variable's, "stage0_block0_dwconv/kernel".
        shape: The variable's shape in Keras.
    """
    kind = name.rpartition("/")[2]
    if kind == "kernel":
        inputs = np.prod(shape[:2]) if "dwconv" in name else np.prod(shape[:-1])
        limit = float(np.sqrt(3 / inputs))  # a variance of 1 / inputs
        values = _uniform(name, shape, -limit, limit)
    elif kind == "gamma":
        values = _uniform(name, shape, 0.2, 1.2)
    elif kind in ("beta", "bias"):
        values = _uniform(name, shape, -0.3, 0.3)
    else:
        raise ValueError(f"No rule for the values of {name!r}.")
    if name.endswith(INTO_THE_STREAM):
        values *= np.float32(STREAM_SIZE)
    return values


def images(shape: tuple[int, ...] = IMAGES_SHAPE) -> np.ndarray:
    """Returns float32 images in 0..255, `(batch, height, width, channels)`."""
    return _uniform("pictures", shape, 0, 255)


def normalized_nchw(images: np.ndarray) -> np.ndarray:
    """Returns images in 0..255 as torch models take them: normalized, channels first.

    Source of the figures: ImageNet's mean and standard deviation, as in torchvision.
    """
    mean = np.array([0.485, 0.456, 0.406])
    std = np.array([0.229, 0.224, 0.225])
    scaled = (images.astype("float64") / 255 - mean) / std
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)).astype("float32")


def canonical_name(path: str) -> str:
    """Returns "stage0_block0_dwconv/kernel" for a Keras variable's path."""
    return "/".join(path.split("/")[-2:])


def fill_keras(model) -> None:
    """Gives every trainable variable of a Keras model the values of its name."""
    for variable in model.trainable_variables:
        name = canonical_name(variable.path)
        variable.assign(weights(name, tuple(variable.shape)))
