"""What the words of a RandAugment mean, such as timm's "rand-m9-mstd0.5-inc1".

Source: arXiv:1909.13719.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HIGHEST = 10.0


@dataclass(frozen=True)
class Policy:
    """What the words of a RandAugment mean.

    Attributes:
        magnitude: m, mean of the magnitude, 0..10.
        magnitude_std: mstd, its standard deviation; above 100 it is drawn evenly
            from 0 to `magnitude` instead.
        layers: n, how many operations are chosen, one after the other.
        probability: p, of doing each.
    """

    magnitude: float = 10.0
    magnitude_std: float = 0.0
    layers: int = 2
    probability: float = 0.5


def parse_policy(words: str) -> Policy:
    """Returns the policy of words such as "rand-m9-mstd0.5-inc1".

    Raises:
        ValueError: They are not understood, or ask for another set of operations.
    """
    kind, *parts = words.split("-")
    found = {}
    for part in parts:
        match = re.fullmatch(r"(mstd|inc|m|n|p)(\d+(?:\.\d+)?)", part)
        if match is None:
            raise ValueError(
                f"rand_augment is {words!r}: {part!r} is none of m, mstd, n, p and "
                "inc with a number behind it"
            )
        found[match[1]] = float(match[2])
    if kind != "rand" or found.pop("inc", 0.0) != 1.0:
        raise ValueError(
            f"rand_augment is {words!r}; it begins with rand and has inc1, as in "
            "rand-m9-mstd0.5-inc1"
        )
    policy = Policy(
        found.get("m", HIGHEST),
        found.get("mstd", 0.0),
        int(found.get("n", 2)),
        found.get("p", 0.5),
    )
    if policy.magnitude > HIGHEST or policy.probability > 1 or policy.layers < 1:
        raise ValueError(
            f"rand_augment is {words!r}: m goes to 10, p to 1, and n is at least 1"
        )
    return policy
