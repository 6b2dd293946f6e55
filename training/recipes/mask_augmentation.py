"""What a recipe asks for of the random changes of training images and their masks.

How it is done stands in `augment`: `mask_transforms` and `photometric_distortion`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MaskAugmentation:
    """What happens to a training image and its mask, always to both alike.

    In this order: resize with the ratio kept, crop, flip, change the colors of the
    image, pad. By default there is one size, one random crop of it, and no more.

    Attributes:
        ratio_range: The image's shorter side becomes `size_px` times a factor between
            these two, as long as the longer one stays within four times that.
        crop_max_share: A crop is drawn again, up to ten times, until no class has as
            large a share of its labeled pixels; 1 takes the first.
        flip: Mirror every second image, left to right.
        photometric: Change brightness, contrast, saturation and hue, each of every
            second image.

    Source: github.com/open-mmlab/mmsegmentation 1.2.2, the training of ADE20K: 0.5 to
        2, 0.75, flip and PhotoMetricDistortion.
    """

    ratio_range: tuple[float, float] = (1.0, 1.0)
    crop_max_share: float = 1.0
    flip: bool = False
    photometric: bool = False

    def __post_init__(self) -> None:
        problems = []
        pair = self.ratio_range
        if len(pair) != 2 or not 0 < pair[0] <= pair[1]:
            problems.append(
                f"ratio_range is {pair}, not two factors, 0 < smallest <= largest"
            )
        if not 0 < self.crop_max_share <= 1:
            problems.append(f"crop_max_share is {self.crop_max_share}, not in (0, 1]")
        if problems:
            raise ValueError(f"Not an augmentation of masks: {'; '.join(problems)}.")
