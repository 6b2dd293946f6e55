"""Sliding windows, against a plain loop over pixels."""

import numpy as np
import pytest

from keras_convnext.segmentation import sliding_logits


def with_place(images):
    """Logits that tell apart where in a window a pixel lies."""
    _, height, width, _ = images.shape
    rows = np.arange(height)[:, None] + np.zeros((1, width))
    columns = np.arange(width)[None] + np.zeros((height, 1))
    place = np.stack([rows, columns], -1)[None]
    return np.concatenate(
        [images, np.broadcast_to(place, (len(images), height, width, 2))], -1
    )


def starts(length, window, stride):
    """Every `stride` pixels until a window reaches the end; that one is moved back."""
    found, start = [], 0
    while True:
        if start + window >= length:
            return [*found, max(length - window, 0)]
        found.append(start)
        start += stride


@pytest.mark.parametrize("size", [(5, 9), (8, 8), (4, 4), (3, 6), (11, 4), (2, 2)])
@pytest.mark.parametrize("stride", [(3, 3), (4, 2), (1, 4)])
def test_each_pixel_is_the_mean_over_the_windows_it_lies_in(size, stride):
    images = np.random.default_rng(0).normal(size=(2, *size, 3)).astype("float32")
    found = sliding_logits(with_place, images, (4, 4), stride)
    tops = starts(size[0], 4, stride[0])
    lefts = starts(size[1], 4, stride[1])
    for row in range(size[0]):
        for column in range(size[1]):
            places = [
                (row - top, column - left)
                for top in tops
                for left in lefts
                if top <= row < top + 4 and left <= column < left + 4
            ]
            np.testing.assert_allclose(
                found[0, row, column, :3], images[0, row, column], rtol=1e-6
            )
            np.testing.assert_allclose(
                found[1, row, column, 3:], np.mean(places, 0), rtol=1e-6
            )


def test_a_stride_that_leaves_pixels_out_is_refused():
    with pytest.raises(ValueError, match="at most the window"):
        sliding_logits(with_place, np.zeros((1, 9, 9, 1)), (4, 4), (5, 4))
