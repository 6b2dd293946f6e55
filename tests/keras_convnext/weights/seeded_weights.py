"""Numbers that depend on a tensor's name alone.

Both sides of a comparison make the same weights with it, so that no weight file has
to be stored. Needs numpy and nothing else: it runs beside every reference.
"""

import zlib

import numpy as np

_SCALES = ("gamma", "layer_scale", "layer_scale_parameter")


def seeded(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the numbers of the tensor called `name`, in float32.

    Drawn so that every tensor counts: scales around 1 (layer scale begins at 1e-6,
    which would hide a block), the rest small enough for activations to stay tame.
    """
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    last = name.rsplit("/", 1)[-1].rsplit(".", 1)[-1]
    if last in _SCALES or (last == "weight" and len(shape) == 1):
        numbers = rng.uniform(0.5, 1.5, shape)
    elif len(shape) > 1:
        # About one over the root of the fan-in, whichever axes that is.
        numbers = rng.normal(0.0, np.sqrt(max(shape) / np.prod(shape)), shape)
    else:
        numbers = rng.normal(0.0, 0.2, shape)
    return numbers.astype(np.float32)
