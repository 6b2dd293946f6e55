"""Feature maps of which only some patches are visible, in two forms.

`DenseMap` keeps whole maps, and multiplies with a mask before and after each depthwise
convolution. `GatheredMap` keeps the visible patches alone, below one another in one
strip `(batch, visible * side, side, channels)`: norms, dense layers, GRN and 2x2
downsampling compute on strips as they are, and only the depthwise convolution is given
a whole map. At visible positions both give the same numbers.

A side is a patch's, in positions of the map: for patches of 32 pixels 32 in the image,
and 8, 4, 2 and 1 in the four stages.

Source: arXiv:2301.00808, section 3.1; the dense form is that of the official
repository's TRAINING.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from keras import ops

from keras_convnext.kernels import support

Convolution = Callable[[Any], Any]


class VisibleMap(Protocol):
    """What the encoder does with a map of either form."""

    def take(self, whole: Any) -> Any:
        """Returns a whole map `(batch, h, w, channels)` in this form."""

    def spread(self, visible: Any) -> Any:
        """Returns the whole map, zero at masked positions."""

    def keep_visible(self, visible: Any) -> Any:
        """Returns the same with zeros at masked positions, where it has any."""

    def convolve(self, convolution: Convolution, visible: Any) -> Any:
        """Returns a "same" convolution that sees visible positions alone."""


@dataclass(frozen=True)
class DenseMap:
    """Whole maps and a mask.

    Attributes:
        mask: 1 at visible positions and 0 at others, `(batch, h, w, 1)`.
    """

    mask: Any

    @classmethod
    def at(cls, order: Any, visible: int, grid: tuple[int, int], side: int) -> DenseMap:
        """Returns the form for maps with patches of a side; see `GatheredMap.at`."""
        is_visible = ops.reshape(_ranks(order) < visible, (-1, *grid, 1))
        for axis in (1, 2):
            is_visible = ops.repeat(is_visible, side, axis=axis)
        return cls(ops.cast(is_visible, "float32"))

    def take(self, whole: Any) -> Any:
        return whole

    def spread(self, visible: Any) -> Any:
        return visible * ops.cast(self.mask, visible.dtype)

    def keep_visible(self, visible: Any) -> Any:
        return self.spread(visible)

    def convolve(self, convolution: Convolution, visible: Any) -> Any:
        return self.spread(convolution(self.spread(visible)))


@dataclass(frozen=True)
class GatheredMap:
    """Strips of visible patches.

    Attributes:
        rows: For each position of the strips its place in the whole maps, counted
            through the batch, int32 `(batch * visible * side * side,)`.
        places: For each position of the whole maps its place in the strips, and for
            masked ones the place after the last.
        shape: `(height, width)` of the whole maps.
        strip: `(height, width)` of the strips.
    """

    rows: Any
    places: Any
    shape: tuple[int, int]
    strip: tuple[int, int]

    @classmethod
    def at(
        cls, order: Any, visible: int, grid: tuple[int, int], side: int
    ) -> GatheredMap:
        """Returns the form for maps with patches of a side.

        Args:
            order: Of the patches, int32 `(batch, patches)`; the first are visible.
            visible: How many.
            grid: Rows and columns of patches.
            side: Of a patch, in positions.
        """
        height, width = side * grid[0], side * grid[1]
        batch, within = ops.shape(order)[0], np.arange(side, dtype="int32")
        image = ops.reshape(ops.arange(batch, dtype="int32"), (-1, 1, 1, 1, 1))

        first = ops.reshape(order[:, :visible], (-1, visible, 1, 1))
        down = side * (first // grid[1]) + within[:, None]
        rows = down * width + side * (first % grid[1]) + within
        rows = ops.reshape(image, (-1, 1, 1, 1)) * (height * width) + rows

        rank = ops.reshape(_ranks(order), (-1, grid[0], 1, grid[1], 1))
        count = visible * side * side
        places = rank * (side * side) + side * within[:, None, None] + within
        places = ops.where(rank < visible, image * count + places, batch * count)
        return cls(
            ops.reshape(rows, (-1,)),
            ops.reshape(places, (-1,)),
            (height, width),
            (visible * side, side),
        )

    def take(self, whole: Any) -> Any:
        return self._moved(whole, self.strip, self._take, self._spread)

    def spread(self, visible: Any) -> Any:
        return self._moved(visible, self.shape, self._spread, self._take)

    def keep_visible(self, visible: Any) -> Any:
        return visible

    def convolve(self, convolution: Convolution, visible: Any) -> Any:
        return self.take(convolution(self.spread(visible)))

    def _take(self, rows: Any) -> Any:
        return ops.take(rows, self.rows, axis=0)

    def _spread(self, rows: Any) -> Any:
        masked = ops.zeros((1, rows.shape[-1]), rows.dtype)
        return ops.take(ops.concatenate([rows, masked]), self.places, axis=0)

    def _moved(
        self, x: Any, shape: tuple[int, int], move: Convolution, back: Convolution
    ) -> Any:
        """Moves the positions of a map, `back` being the transpose of `move`."""
        channels = x.shape[-1]
        rows = ops.reshape(x, (-1, channels))
        if support.can_recompute(rows):
            # TensorFlow's own gradient of a gather adds row by row.
            move = _with_gradient(move, back)
        return ops.reshape(move(rows), (-1, *shape, channels))


def _with_gradient(function: Convolution, gradient: Convolution) -> Convolution:
    """Returns a linear function with its transpose for a gradient."""
    differentiable: Convolution = ops.custom_gradient(lambda x: (function(x), gradient))
    return differentiable


def _ranks(order: Any) -> Any:
    """Returns for each patch its place in the order, int32 `(batch, patches)`."""
    return ops.cast(ops.argsort(order, axis=1), "int32")
