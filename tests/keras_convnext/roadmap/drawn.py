"""Numbers that depend on a variable's name alone, so that no weights are stored.

Needs numpy and nothing else: both sides of the comparison import it.
"""

import zlib

import numpy as np

RANGES = {
    "gamma": (0.5, 1.5),
    "beta": (-0.2, 0.2),
    "bias": (-0.2, 0.2),
    "moving_mean": (-0.2, 0.2),
    "moving_variance": (0.5, 1.5),
}


def drawn(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the float32 numbers of the Keras variable `path`.

    Kernels have a standard deviation of one over the root of the fan-in, so that
    fifty layers neither vanish nor explode.
    """
    rng = np.random.default_rng(zlib.crc32(path.encode()))
    kind = path.rsplit("/", 1)[-1]
    if kind in RANGES:
        return rng.uniform(*RANGES[kind], shape).astype(np.float32)
    fan_in = np.prod(shape[:-1])
    return (rng.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)


def images(count: int, size_px: int) -> np.ndarray:
    """Returns normalized images `(count, size_px, size_px, 3)`."""
    rng = np.random.default_rng(count * 1000 + size_px)
    return rng.standard_normal((count, size_px, size_px, 3)).astype(np.float32)
