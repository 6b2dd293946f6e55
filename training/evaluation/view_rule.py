"""How a model looks at an image that it is evaluated on: once, or several times."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ViewRule:
    """How a model looks at an image.

    Attributes:
        slide: Through windows of the training crop, instead of at the whole image; for
            label maps.
        scales: In which sizes, as factors; the probabilities of several are averaged.
        flip: In each size mirrored, too.
    """

    slide: bool = False
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether it is the rule of inference itself: the whole image, once."""
        return self == ViewRule()

    @property
    def words(self) -> str:
        """What is said of it."""
        how = "windows" if self.slide else "whole images"
        if self.scales != (1.0,):
            how += f", {len(self.scales)} scales"
        return how + (" and flipped" if self.flip else "")


def parse_scales(text: str) -> tuple[float, ...]:
    """Reads factors such as "0.5,1,1.5".

    Raises:
        ValueError: It is none of that kind.
    """
    try:
        scales = tuple(float(part) for part in text.split(","))
    except ValueError:
        scales = ()
    if not scales or not all(0 < scale <= 4 for scale in scales):
        raise ValueError(
            f"--scales takes factors above 0 and up to 4, such as 0.5,1,1.5; got "
            f"{text!r}"
        )
    return scales
