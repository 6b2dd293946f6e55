"""The two principal components of features."""

from __future__ import annotations

import numpy as np


def main_axes(features: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns the principal components of rows: two of each, and what they hold.

    Args:
        features: `(count, features)`, at least two of each.

    Returns:
        Places `(count, 2)`, and the share of the variance that they keep.
    """
    centered = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    rows, lengths, _ = np.linalg.svd(centered, full_matrices=False)
    variance = lengths**2
    places = rows[:, :2] * lengths[:2]
    return places, float(variance[:2].sum() / max(variance.sum(), 1e-30))
