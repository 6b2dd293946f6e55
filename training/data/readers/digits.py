"""Scikit-learn's handwritten digits as a tensorflow-datasets data set of our own.

1,797 real digits, 8x8 gray in 17 levels, enlarged to 32x32 RGB. It takes the road
that every other tensorflow-datasets data set takes: a registered builder, prepared
once into records on disk, then read back by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import util
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from keras_convnext._data.data_error import DataError

NAME = "digits"
SIZE_PX = 32
# Scikit-learn counts ink from 0 to 16.
_MOST_INK = 16
# One image in five of every class is for testing.
_TEST_EVERY = 5


class Digits(tfds.core.GeneratorBasedBuilder):
    """Handwritten digits of scikit-learn, with a fixed and stratified split."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Scikit-learn's 1,797 handwritten digits at 32x32 RGB.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(SIZE_PX, SIZE_PX, 3), encoding_format="png"
                    ),
                    "label": tfds.features.ClassLabel(names=list("0123456789")),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://archive.ics.uci.edu/dataset/80",
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager  # scikit-learn carries the images.
        require_scikit_learn()
        from sklearn import datasets

        digits = datasets.load_digits()
        validation = test_rows(digits.target)
        return {
            "train": self._generate_examples(digits, np.flatnonzero(~validation)),
            "test": self._generate_examples(digits, np.flatnonzero(validation)),
        }

    def _generate_examples(
        self, digits: Any, rows: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for row in rows.tolist():
            yield (
                row,
                {
                    "image": enlarge(digits.images[row]),
                    "label": int(digits.target[row]),
                },
            )


def require_scikit_learn() -> None:
    """Raises DataError where scikit-learn, which carries the digits, is missing."""
    if util.find_spec("sklearn") is None:
        raise DataError(
            "The digits come with scikit-learn, which is not installed: "
            "pip install scikit-learn"
        )


def test_rows(labels: np.ndarray) -> np.ndarray:
    """Marks every fifth image of each class.

    Args:
        labels: `(count,)`.

    Returns:
        Booleans `(count,)`, true where the image is for testing.
    """
    validation = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        validation[rows[_TEST_EVERY - 1 :: _TEST_EVERY]] = True
    return validation


def enlarge(ink: np.ndarray) -> np.ndarray:
    """Returns a digit as an image.

    Args:
        ink: `(8, 8)` in 0..16.

    Returns:
        uint8 `(32, 32, 3)`, black where there is no ink.
    """
    gray = np.round(ink * (255 / _MOST_INK)).astype(np.uint8)
    large = Image.fromarray(gray).resize((SIZE_PX, SIZE_PX), Image.Resampling.BICUBIC)
    return np.asarray(large.convert("RGB"))
