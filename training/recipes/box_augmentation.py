"""What a recipe asks for of the random changes of training images and their objects.

How it is done stands in `augment`: `box_transforms` and `photometric_distortion`.
"""

from __future__ import annotations

from dataclasses import dataclass

from keras_convnext.preprocessing import WHOLE_MODES


@dataclass(frozen=True)
class BoxAugmentation:
    """What happens to a training image, its boxes and its masks, always to all alike.

    In this order: mirror, crop, resize with the ratio kept, change the colors of the
    image, pad. By default there is one size and no more: what evaluation sees.

    Attributes:
        flip: Mirror every second image, left to right.
        scale_range: The image's shorter side becomes `size_px` times a factor between
            these two, as long as the longer one stays within 5/3 of `size_px`.
        scale_steps: How many such factors there are, evenly spaced.
        crop_probability: Share of the images that are first resized to 0.5, 0.625 or
            0.75 of `size_px`, of which then a part is cut out, each side drawn from
            0.48 to 0.75 of `size_px`.
        jitter: Large-scale jitter, instead of `scale_range` and crops: the longer side
            becomes `size_px` times a factor between these two, and a square of
            `size_px` is cut out, or filled up. None for none: batches then have the
            size of their largest image.
        photometric: Change brightness, contrast, saturation and hue, each of every
            second image.

    Source: github.com/open-mmlab/mmdetection 3.3.0, configs/convnext (DETR's, arXiv
        2005.12872): flip, 0.6 to 1 of 800 pixels in 11 steps, and crops of every second
        image; projects/ConvNeXt-V2: jitter 0.1 to 2 (arXiv 2012.07177).
    """

    flip: bool = False
    scale_range: tuple[float, float] = (1.0, 1.0)
    scale_steps: int = 1
    crop_probability: float = 0.0
    jitter: tuple[float, float] | None = None
    photometric: bool = False

    def __post_init__(self) -> None:
        problems = []
        for name in ("scale_range", "jitter"):
            pair = getattr(self, name)
            if pair is not None and (len(pair) != 2 or not 0 < pair[0] <= pair[1]):
                problems.append(
                    f"{name} is {pair}, not two factors, 0 < smallest <= largest"
                )
        if self.scale_steps < 1:
            problems.append(f"scale_steps is {self.scale_steps}, not 1 or more")
        if not 0 <= self.crop_probability <= 1:
            problems.append(
                f"crop_probability is {self.crop_probability}, not in [0, 1]"
            )
        if self.scale_steps == 1 and len(set(self.scale_range)) > 1:
            problems.append(
                f"scale_steps is 1, which leaves of scale_range={self.scale_range} the "
                "first alone"
            )
        replaced = (self.scale_range, self.scale_steps, self.crop_probability)
        if self.jitter is not None and replaced != ((1, 1), 1, 0):
            problems.append(
                "jitter is instead of scale_range, scale_steps and crop_probability: "
                "set these to 1,1, 1 and 0, or jitter to none"
            )
        if problems:
            raise ValueError(f"Not an augmentation of boxes: {'; '.join(problems)}.")

    @property
    def is_square(self) -> bool:
        """Whether all training images have one size, a square."""
        return self.jitter is not None

    @property
    def largest_area(self) -> float:
        """The largest area of a training image, in squares of `size_px`.

        A batch that holds what is left of both orientations is padded to more.
        """
        longest = WHOLE_MODES["fit"]
        return 1.0 if self.is_square else longest * min(max(self.scale_range), longest)
