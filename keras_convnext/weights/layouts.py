"""How the same numbers lie in memory here and elsewhere.

Keras keeps convolution kernels as (height, width, in, out) and dense kernels as
(in, out); torch keeps the output first. A layout says, for each kind of tensor,
which permutation of the file's axes gives the model's.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

# Layers whose kernels lie in four axes, the depthwise ones apart.
_CONVOLUTIONS = re.compile(
    r"stem_conv\d*|stage\d+_downsample_conv|(decode|auxiliary)_(\w+_)?(conv|logits)"
    r"|fpn_(lateral|output)\d|rpn_(conv|logits|deltas)"
    r"|(box|mask)\d?_conv\d|mask\d?_(upsample|logits)"
)
# Dense layers after a map of this height and width, which others flatten by channel.
_AFTER_MAP = re.compile(r"box\d?_fc0")
_MAP_SIDE = 7


class Kind(enum.Enum):
    """The kinds of tensor in a ConvNeXt, as far as their axes go."""

    CONV = "convolution kernel"
    DEPTHWISE = "depthwise kernel"
    DENSE = "dense kernel"
    FLATTENED = "dense kernel after a map"
    VECTOR = "vector"


def kind_of(path: str) -> Kind:
    """Returns the kind of the tensor that the library calls `path`.

    Args:
        path: "<layer>/<variable>", for example "stage0_block0_dwconv/kernel".
    """
    layer, _, variable = path.partition("/")
    if variable != "kernel":
        return Kind.VECTOR
    if layer.endswith("_dwconv"):
        return Kind.DEPTHWISE
    if _CONVOLUTIONS.fullmatch(layer):
        return Kind.CONV
    return Kind.FLATTENED if _AFTER_MAP.fullmatch(layer) else Kind.DENSE


def _bare_shape(kind: Kind, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Drops the axes of length one that some files add, None if it cannot be."""
    if kind is Kind.VECTOR:
        size = math.prod(shape)
        # (1, 1, 1, C), (C, 1, 1) and (C,) are all the same vector.
        return (size,) if shape and size == max(shape) else None
    if kind in (Kind.DENSE, Kind.FLATTENED):
        bare = shape[:2] if len(shape) == 4 and shape[2:] == (1, 1) else shape
        return bare if len(bare) == 2 else None
    return shape if len(shape) == 4 else None


@dataclass(frozen=True, eq=False)
class Layout:
    """Where a file's axes go.

    Attributes:
        axes: For each kind the permutation from the file's axes to the model's;
            kinds that are not here lie the same way in both.
    """

    axes: Mapping[Kind, tuple[int, ...]] = field(default_factory=dict)

    def shape(self, kind: Kind, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """Returns the model's shape of a tensor of the file, None if impossible."""
        bare = _bare_shape(kind, shape)
        if bare is None or kind not in self.axes:
            return bare
        if kind is Kind.FLATTENED:
            return bare[::-1] if bare[1] % _MAP_SIDE**2 == 0 else None
        return tuple(bare[axis] for axis in self.axes[kind])

    def read(self, kind: Kind, tensor: np.ndarray) -> np.ndarray:
        """Turns a tensor of the file into the model's."""
        bare = _bare_shape(kind, tensor.shape)
        if bare is None:
            raise ValueError(f"A {kind.value} cannot have shape {tensor.shape}.")
        tensor = tensor.reshape(bare)
        if kind not in self.axes:
            return tensor
        if kind is Kind.FLATTENED:
            tensor = tensor.reshape(bare[0], -1, _MAP_SIDE, _MAP_SIDE)
            return tensor.transpose(self.axes[kind]).reshape(-1, bare[0])
        return tensor.transpose(self.axes[kind])

    def write(
        self, kind: Kind, tensor: np.ndarray, form: tuple[int, ...] | None = None
    ) -> np.ndarray:
        """Turns a tensor of the model into the file's.

        Args:
            kind: What it is.
            tensor: The model's.
            form: Axes that the file adds: ones where they are, zeros where the
                tensor's own axes go: (1, 1, 1, 0) makes (1, 1, 1, C) of (C,).
        """
        if kind in self.axes and kind is Kind.FLATTENED:
            units = tensor.shape[1]
            tensor = tensor.reshape(_MAP_SIDE, _MAP_SIDE, -1, units)
            tensor = tensor.transpose(np.argsort(self.axes[kind])).reshape(units, -1)
        elif kind in self.axes:
            tensor = tensor.transpose(np.argsort(self.axes[kind]))
        if form is not None:
            added = [axis for axis, length in enumerate(form) if length == 1]
            tensor = np.expand_dims(tensor, added)
        return np.ascontiguousarray(tensor)


TORCH = Layout(
    {
        Kind.CONV: (2, 3, 1, 0),
        Kind.DEPTHWISE: (2, 3, 0, 1),
        Kind.DENSE: (1, 0),
        # Of (units, channels, height, width).
        Kind.FLATTENED: (2, 3, 1, 0),
    }
)
# keras.applications writes depthwise convolutions as grouped ones: (7, 7, 1, C).
KERAS_GROUPED = Layout({Kind.DEPTHWISE: (0, 1, 3, 2)})
KERAS = Layout()
