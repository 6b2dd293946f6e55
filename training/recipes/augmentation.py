"""What a recipe asks for of the random changes of training images.

How it is done stands in `augment`, and for images in JAX's memory in `jax_engine`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from . import rand_augment_policy

_PROBABILITIES = ("random_erasing", "mix_probability", "mix_switch_probability")


@dataclass(frozen=True)
class Augmentation:
    """What happens to a training image; nothing by default.

    Attributes:
        crop_scale: Random resized crop: smallest and largest share of the image's
            area. None takes the view that evaluation takes.
        crop_ratio: Smallest and largest width over height of that crop.
        flip: Mirror every second image, left to right.
        shift_px: Move by up to so many pixels, reflecting at the border.
        rand_augment: RandAugment in timm's words, such as "rand-m9-mstd0.5-inc1";
            "" is off.
        color_jitter: Largest change of brightness, contrast and color, 0.4 for up to
            40 %; 0 is off. RandAugment takes its place where both are given, as in
            timm.
        random_erasing: Share of images of which a box becomes noise.
        repeats: How often an image comes up in an epoch, each time changed in
            another way. An epoch stays as long and shows fewer images.
            Source: arXiv:1901.09335.
        mixup: Alpha of MixUp's Beta distribution; 0 is off.
        cutmix: Alpha of CutMix's Beta distribution; 0 is off.
        mix_probability: Share of batches that are mixed at all.
        mix_switch_probability: Share of mixed batches that take CutMix where both
            are on.
    """

    crop_scale: tuple[float, float] | None = None
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: bool = False
    shift_px: int = 0
    rand_augment: str = ""
    color_jitter: float = 0.0
    random_erasing: float = 0.0
    repeats: int = 1
    mixup: float = 0.0
    cutmix: float = 0.0
    mix_probability: float = 1.0
    mix_switch_probability: float = 0.5

    def __post_init__(self) -> None:
        problems = []
        if self.crop_scale is not None and not _is_range(self.crop_scale, most=1.0):
            problems.append(
                f"crop_scale is {self.crop_scale}, not two shares of the area, "
                "0 < smallest <= largest <= 1"
            )
        if not _is_range(self.crop_ratio):
            problems.append(
                f"crop_ratio is {self.crop_ratio}, not two ratios, "
                "0 < smallest <= largest"
            )
        for name in ("shift_px", "color_jitter", "mixup", "cutmix"):
            if getattr(self, name) < 0:
                problems.append(f"{name} is {getattr(self, name)}, not 0 or more")
        for name in _PROBABILITIES:
            if not 0 <= getattr(self, name) <= 1:
                problems.append(f"{name} is {getattr(self, name)}, not in 0..1")
        if self.repeats < 1:
            problems.append(f"repeats is {self.repeats}, not 1 or more")
        if self.rand_augment:
            try:
                rand_augment_policy.parse_policy(self.rand_augment)
            except ValueError as problem:
                problems.append(str(problem))
        if problems:
            raise ValueError(f"Not an augmentation: {'; '.join(problems)}.")

    @property
    def mixes(self) -> bool:
        """Whether images are mixed, which makes the labels soft."""
        return self.mix_probability > 0 and (self.mixup > 0 or self.cutmix > 0)


def _is_range(pair: tuple[float, float], most: float = math.inf) -> bool:
    return len(pair) == 2 and 0 < pair[0] <= pair[1] <= most
