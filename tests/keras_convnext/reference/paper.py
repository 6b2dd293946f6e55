"""The papers' formulas written out in NumPy, in float64, as slowly as it takes.

Arrays are `(batch, height, width, channels)`. Nothing is shared with the library: no
layer, no row of a table. Source: arXiv:2201.03545, sections 2.2 to 2.6 and 3.3;
arXiv:2301.00808, section 3.2 and algorithm 1.
"""

import math
from collections.abc import Callable

import numpy as np

EPSILON = 1e-6
EXPANSION = 4
KERNEL_PX = 7
_erf = np.vectorize(math.erf, otypes=["float64"])

Draw = Callable[[str, tuple[int, ...]], np.ndarray]


def gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + _erf(x / math.sqrt(2))) / 2


def depthwise(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Sums shifted copies of `x`; zeros beyond the border."""
    reach = kernel.shape[0] // 2
    height, width = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    total = np.zeros_like(x)
    for row in range(kernel.shape[0]):
        for column in range(kernel.shape[1]):
            window = padded[:, row : row + height, column : column + width]
            total += window * kernel[row, column, :, 0]
    return total


def patches(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Cuts `x` into squares as wide as the kernel and multiplies each with it.

    What does not fill a square at the right and the bottom is left out.
    """
    side, _, inputs, outputs = kernel.shape
    batch, height, width = x.shape[0], x.shape[1] // side, x.shape[2] // side
    squares = x[:, : height * side, : width * side].reshape(
        batch, height, side, width, side, inputs
    )
    flat = squares.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height, width, -1)
    return flat @ kernel.reshape(-1, outputs)


class Paper:
    """One network; `outputs` runs it.

    Args:
        depths: Blocks in each stage; one entry for an isotropic network.
        widths: Channels in each stage.
        patch_px: Side of the patches that the image is cut into.
        grn: Whether blocks have Global Response Normalization (V2).
        layer_scale: Whether branches are scaled (V1).
        draw: Gives the values of a parameter from its name and shape.
    """

    def __init__(
        self,
        depths: tuple[int, ...],
        widths: tuple[int, ...],
        patch_px: int,
        grn: bool,
        layer_scale: bool,
        draw: Draw,
    ):
        self.depths = depths
        self.widths = widths
        self.patch_px = patch_px
        self.grn = grn
        self.layer_scale = layer_scale
        self.draw = draw

    def values(self, name: str, *shape: int) -> np.ndarray:
        return self.draw(name, shape).astype("float64")

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        channels = x.shape[-1]
        mean = x.mean(-1, keepdims=True)
        deviation = np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + EPSILON)
        gamma = self.values(f"{name}/gamma", channels)
        return (x - mean) / deviation * gamma + self.values(f"{name}/beta", channels)

    def dense(self, x: np.ndarray, name: str, units: int) -> np.ndarray:
        kernel = self.values(f"{name}/kernel", x.shape[-1], units)
        return x @ kernel + self.values(f"{name}/bias", units)

    def conv(self, x: np.ndarray, name: str, side: int, width: int) -> np.ndarray:
        kernel = self.values(f"{name}/kernel", side, side, x.shape[-1], width)
        return patches(x, kernel) + self.values(f"{name}/bias", width)

    def response_norm(self, x: np.ndarray, name: str) -> np.ndarray:
        channels = x.shape[-1]
        response = np.sqrt((x**2).sum(axis=(1, 2), keepdims=True))
        share = response / (response.mean(-1, keepdims=True) + EPSILON)
        gamma = self.values(f"{name}/gamma", channels)
        return gamma * (x * share) + self.values(f"{name}/beta", channels) + x

    def block(self, x: np.ndarray, name: str) -> np.ndarray:
        width = x.shape[-1]
        kernel = self.values(f"{name}_dwconv/kernel", KERNEL_PX, KERNEL_PX, width, 1)
        y = depthwise(x, kernel) + self.values(f"{name}_dwconv/bias", width)
        y = self.norm(y, f"{name}_norm")
        y = gelu(self.dense(y, f"{name}_expand", EXPANSION * width))
        if self.grn:
            y = self.response_norm(y, f"{name}_grn")
        y = self.dense(y, f"{name}_project", width)
        if self.layer_scale:
            y = y * self.values(f"{name}_layer_scale/gamma", width)
        return x + y

    def outputs(self, x: np.ndarray, classes: int) -> dict[str, np.ndarray]:
        """Returns the logits as "head" and each stage's last map as "P2" .. "P5".

        Args:
            x: Normalized images.
            classes: Classes of the head.
        """
        isotropic = len(self.depths) == 1
        found = {}
        x = self.conv(x, "stem_conv", self.patch_px, self.widths[0])
        if not isotropic:
            x = self.norm(x, "stem_norm")
        for stage, depth in enumerate(self.depths):
            if stage:
                x = self.norm(x, f"stage{stage}_downsample_norm")
                x = self.conv(x, f"stage{stage}_downsample_conv", 2, self.widths[stage])
            for block in range(depth):
                x = self.block(x, f"stage{stage}_block{block}")
            found["P4" if isotropic else f"P{2 + stage}"] = x
        pooled = self.norm(x.mean(axis=(1, 2)), "head_norm")
        return {"head": self.dense(pooled, "head_dense", classes), **found}
