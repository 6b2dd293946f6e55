"""FCMAE written out in NumPy, one visible position at a time, in float64.

An image is a dictionary from visible positions to vectors: what is masked does not
exist. Nothing is shared with the library: no layer, no row of a table. Source:
arXiv:2301.00808, sections 3.1 and 3.2.
"""

import math
from collections.abc import Mapping

import numpy as np

EPSILON = 1e-6
STEM_PX = 4
PATCH_PX = 32
REACH = 3
MEAN = 255 * np.array([0.485, 0.456, 0.406])
DEVIATION = 255 * np.array([0.229, 0.224, 0.225])
_erf = np.vectorize(math.erf, otypes=["float64"])

Features = dict[tuple[int, int], np.ndarray]
Weights = Mapping[str, np.ndarray]


def normalize(image: np.ndarray) -> np.ndarray:
    return (image.astype("float64") - MEAN) / DEVIATION


def is_visible(position: tuple[int, int], side: int, patches: set) -> bool:
    row, column = position
    return (row // side, column // side) in patches


def norm(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    centered = x - x.mean()
    scaled = centered / np.sqrt((centered**2).mean() + EPSILON)
    return scaled * w[f"{name}/gamma"] + w[f"{name}/beta"]


def dense(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]


def gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + _erf(x / math.sqrt(2))) / 2


def cut(features: Mapping, side: int, w: Weights, name: str) -> Features:
    """A convolution whose kernel is as wide as its stride."""
    kernel, sums = w[f"{name}/kernel"], {}
    for (row, column), vector in features.items():
        target = (row // side, column // side)
        total = sums.setdefault(target, w[f"{name}/bias"].copy())
        total += vector @ kernel[row % side, column % side]
    return sums


def block(features: Features, w: Weights, name: str) -> Features:
    kernel = w[f"{name}_dwconv/kernel"][..., 0]
    steps = range(-REACH, REACH + 1)
    hidden = {}
    for row, column in features:
        total = w[f"{name}_dwconv/bias"].copy()
        for down in steps:
            for right in steps:
                neighbor = features.get((row + down, column + right))
                if neighbor is not None:
                    total += neighbor * kernel[down + REACH, right + REACH]
        total = norm(total, w, f"{name}_norm")
        hidden[row, column] = gelu(dense(total, w, f"{name}_expand"))
    response = np.sqrt(sum(vector**2 for vector in hidden.values()))
    share = response / (response.mean() + EPSILON)
    gamma, beta = w[f"{name}_grn/gamma"], w[f"{name}_grn/beta"]
    found = {}
    for position, vector in hidden.items():
        vector = gamma * (vector * share) + beta + vector
        found[position] = features[position] + dense(vector, w, f"{name}_project")
    return found


def encode(
    image: np.ndarray, patches: set, depths: tuple[int, ...], w: Weights
) -> Features:
    """Returns the features of the visible patches of one normalized image."""
    height, width = image.shape[:2]
    pixels = {
        (row, column): image[row, column]
        for row in range(height)
        for column in range(width)
        if is_visible((row, column), PATCH_PX, patches)
    }
    x = cut(pixels, STEM_PX, w, "stem_conv")
    x = {position: norm(vector, w, "stem_norm") for position, vector in x.items()}
    for stage, depth in enumerate(depths):
        if stage:
            name = f"stage{stage}_downsample"
            x = {at: norm(vector, w, f"{name}_norm") for at, vector in x.items()}
            x = cut(x, 2, w, f"{name}_conv")
        for index in range(depth):
            x = block(x, w, f"stage{stage}_block{index}")
    return x


def decode(features: Features, grid: tuple[int, int], w: Weights) -> Features:
    """Returns the predictions of all patches."""
    x = {
        (row, column): (
            dense(features[row, column], w, "decoder_projection")
            if (row, column) in features
            else w["mask_token"]
        )
        for row in range(grid[0])
        for column in range(grid[1])
    }
    x = block(x, w, "decoder_block0")
    return {at: dense(vector, w, "decoder_prediction") for at, vector in x.items()}


def loss(image: np.ndarray, predictions: Features, visible: set) -> float:
    """Returns the mean over the masked patches of one normalized image."""
    errors = []
    for (row, column), prediction in predictions.items():
        if (row, column) in visible:
            continue
        rows = slice(row * PATCH_PX, (row + 1) * PATCH_PX)
        columns = slice(column * PATCH_PX, (column + 1) * PATCH_PX)
        # Row, column, channel: how the array lies in memory.
        target = image[rows, columns].reshape(-1)
        target = (target - target.mean()) / np.sqrt(target.var(ddof=1) + EPSILON)
        errors.append(((prediction - target) ** 2).mean())
    return float(np.mean(errors))
