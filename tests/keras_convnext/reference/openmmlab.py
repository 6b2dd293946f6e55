"""What mmsegmentation's and mmdetection's heads computed, and their weights.

Recorded with PyTorch 2.14.1, torchvision 0.29.1, mmengine 0.10.7, mmcv-lite 2.1.0,
mmdet 3.3.0 and mmsegmentation 1.2.2: random weights in their names, random feature maps
of a pyramid, all outputs in between, and of training what nothing random decides. The
upernet_small file has both heads with 16 and 12 channels and six classes, the detectors
16 channels, 32 units and five classes. The iou_metric file (PyTorch 2.13.0) has four
label maps of twelve classes, predictions, and what IoUMetric says of them together.
Arrays of images are `(batch, height, width, channels)`, boxes x0, y0, x1, y1.

The gradients are autograd's, of the sum of all losses of the training files, by every
parameter and map, with torchvision's backward pass of RoIAlign for mmcv's. Each is
stored as its norm and its products with some `directions`, ones of random signs: the
mean of the squared products of a difference is, but for chance, its squared norm.
"""

import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np

# A convolution is a layer of its own, or lies beside its norm.
_ENDS = {
    "kernel": ("weight", "conv.weight"),
    "bias": ("bias", "conv.bias"),
    "gamma": ("bn.weight",),
    "beta": ("bn.bias",),
    "moving_mean": ("bn.running_mean",),
    "moving_variance": ("bn.running_var",),
}


def read(name: str) -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_name(f"{name}.npz")) as arrays:
        return dict(arrays)


def assign(
    model: keras.Model, tensors: Mapping[str, np.ndarray], find: Callable[[str], str]
) -> None:
    """Gives a model the recorded weights.

    Args:
        model: Every variable gets a value.
        tensors: In torch's layouts.
        find: From a layer's name to how its tensors' names begin.
    """
    for variable in model.weights:
        name = name_of(variable, tensors, find)
        variable.assign(from_torch(tensors[name], variable.shape))


def name_of(
    variable: keras.Variable,
    tensors: Mapping[str, np.ndarray],
    find: Callable[[str], str],
) -> str:
    """Returns the name of a variable's tensor among those recorded."""
    layer, _, kind = variable.path.rpartition("/")
    [name] = {f"{find(layer)}{end}" for end in _ENDS[kind]} & set(tensors)
    return name


def directions(name: str, shape: tuple[int, ...], count: int = 16) -> np.ndarray:
    """Returns ones with signs that the name decides, float32 `(count, *shape)`."""
    random = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    return np.where(random.random((count, *shape), "float32") < 0.5, -1, 1).astype("f")


def from_torch(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Returns a tensor in Keras' layout; dense layers take maps, channels first."""
    if value.ndim == 2 and len(value[0]) > 49:
        value = value.reshape(len(value), -1, 7, 7)
    axes = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}[value.ndim]
    return value.transpose(axes).reshape(shape)
