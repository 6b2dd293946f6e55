"""How an image becomes an input: records that travel with the weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# The longest side of a segmentation model's images, in shortest ones. Source:
# mmsegmentation 1.2.2, its scale (2048, 512).
LONGEST_TO_SHORTEST = 4
# The same by the crop modes that keep all of an image. Source of "fit": mmdetection
# 3.3.0, its scale (1333, 800).
WHOLE_MODES = {"keep_ratio": LONGEST_TO_SHORTEST, "fit": 5 / 3}
CROP_MODES = ("center", "squash", *WHOLE_MODES)
# Of a whole image: below one step of a network's coarsest feature map there is nothing
# to predict from.
SMALLEST_PX = 32


@dataclass(frozen=True)
class Preprocessing:
    """What a set of weights expects of its images.

    Attributes:
        size_px: Side of the square that the network sees.
        mean: Mean of each channel, on the scale 0..1.
        std: Standard deviation of each channel, on the scale 0..1.
        crop_fraction: Side of the crop over the shorter side of the resized
            image.
        crop_mode: "center": resize the shorter side to size_px / crop_fraction
            and cut out the middle; "squash": resize to the square, whatever the
            aspect; "keep_ratio", of segmentation: resize the whole image until its
            shorter side has size_px or its longer one four times as many; "fit", of
            detection: the same with five thirds as many.
        interpolation: "bicubic" or "bilinear".
        antialias: Whether an image that is made smaller is smoothed first, as Pillow
            does; Keras' own loader takes single pixels.

    Example:
        >>> from keras_convnext.preprocessing import Preprocessing
        >>> Preprocessing(size_px=384, crop_mode="squash").mean
        (0.485, 0.456, 0.406)
    """

    size_px: int = 224
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    crop_fraction: float = 0.875
    crop_mode: str = "center"
    interpolation: str = "bicubic"
    antialias: bool = True

    def __post_init__(self) -> None:
        problems = []
        if self.size_px < 1:
            problems.append(f"size_px is {self.size_px}, not at least 1")
        if len(self.mean) != len(self.std) or min(self.std, default=0) <= 0:
            problems.append("mean and std are not one number a channel, std above 0")
        if not 0 < self.crop_fraction <= 1:
            problems.append(f"crop_fraction is {self.crop_fraction}, not in (0, 1]")
        if self.crop_mode not in CROP_MODES:
            problems.append(
                f"crop_mode is {self.crop_mode!r}, not {' or '.join(CROP_MODES)}"
            )
        if self.interpolation not in ("bicubic", "bilinear"):
            problems.append(
                f"interpolation is {self.interpolation!r}, not bicubic or bilinear"
            )
        if problems:
            raise ValueError(f"Not a preprocessing: {'; '.join(problems)}.")

    def normalization(self, channels: int) -> tuple[list[float], list[float]]:
        """Returns mean and variance for images in 0..255 of `channels` channels.

        One channel gets the average of the record's; more than the record has
        repeat them in turn, as pretrained stems are repeated.
        """
        if channels == 1:
            means = [sum(self.mean) / len(self.mean)]
            stds = [sum(self.std) / len(self.std)]
        else:
            means = [self.mean[i % len(self.mean)] for i in range(channels)]
            stds = [self.std[i % len(self.std)] for i in range(channels)]
        return [255.0 * m for m in means], [(255.0 * s) ** 2 for s in stds]


IMAGENET = Preprocessing()
# What keras.utils.image_dataset_from_directory makes of an image.
KERAS_LOADER = Preprocessing(
    crop_fraction=1.0, crop_mode="squash", interpolation="bilinear", antialias=False
)
# What segmentation is evaluated on. Source: mmsegmentation 1.2.2's ade20k.py.
WHOLE_IMAGE = Preprocessing(
    size_px=512,
    crop_fraction=1.0,
    crop_mode="keep_ratio",
    interpolation="bilinear",
    antialias=False,
)
# What detectors are evaluated on. Source: mmdetection 3.3.0's coco_instance.py.
DETECTION_IMAGE = replace(WHOLE_IMAGE, size_px=800, crop_mode="fit")


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Returns `x` unchanged: the models normalize inside.

    Here so that code written for keras.applications keeps working. Give the
    models images in 0..255, unless built with `include_preprocessing=False`.

    Args:
        x: Images `(batch, height, width, channels)` in 0..255.
        data_format: Not used; accepted for keras.applications' callers.

    Example:
        >>> import numpy as np
        >>> import keras_convnext
        >>> images = np.full((1, 2, 2, 3), 255.0)
        >>> float(keras_convnext.preprocess_input(images).max())
        255.0
    """
    del data_format
    return x


def decode_predictions(preds: Any, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """Names the highest scores of ImageNet classifiers.

    Args:
        preds: Scores `(batch, classes)` with 1000 (ImageNet-1k), 11821
            (ImageNet-12k) or 21841 (ImageNet-22k) classes.
        top: How many to return for each image.

    Returns:
        For each image its `top` classes as (WordNet id, name, score), the
        highest first.

    Raises:
        ValueError: `preds` has another shape, or `top` is below 1.

    Example:
        >>> import numpy as np
        >>> import keras_convnext
        >>> one_hot = np.eye(1000)[[207]]
        >>> keras_convnext.decode_predictions(one_hot, top=1)
        [[('n02099601', 'golden_retriever', 1.0)]]
    """
    import numpy as np

    from keras_convnext.labels import class_names

    scores = np.asarray(preds)
    if scores.ndim != 2:
        raise ValueError(
            "decode_predictions wants scores of shape (batch, classes); got "
            f"{scores.shape}."
        )
    if top < 1:
        raise ValueError(f"top is {top}, not at least 1.")
    names = class_names(scores.shape[1])
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    return [
        [(*names[index], float(row[index])) for index in best]
        for row, best in zip(scores, order, strict=True)
    ]
