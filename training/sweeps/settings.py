"""What the runs of a sweep differ in: every combination of values, or random draws."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

_RANGE = re.compile(r"(uniform|loguniform)\(([^,()]+),([^,()]+)\)")
_DIGITS = 3


@dataclass(frozen=True)
class Varied:
    """A field of the recipe, and the values that runs give it.

    Attributes:
        field: Its name, with dots for fields of fields.
        values: As `--set` takes them; empty where they are drawn from a range.
        draw: Draws one at random.
    """

    field: str
    values: tuple[str, ...]
    draw: Callable[[np.random.Generator], str]


def parse(text: str) -> Varied:
    """Reads a field and its values.

    Args:
        text: "peak_lr=1e-3,3e-3"; with semicolons where values are pairs,
            "augmentation.crop_scale=0.3,1;0.5,1"; or a range, "peak_lr=loguniform(
            1e-4,1e-2)" or "dropout_rate=uniform(0,0.5)".

    Raises:
        ValueError: It is none of these.

    Example:
        >>> from training.sweeps import settings
        >>> settings.parse("peak_lr=1e-3,3e-3").values
        ('1e-3', '3e-3')
    """
    field, separator, words = text.partition("=")
    field, words = field.strip(), words.strip()
    if not separator or not field or not words:
        raise ValueError(
            f"--vary={text} is not of the form FIELD=VALUE,VALUE or "
            "FIELD=loguniform(LEAST,MOST)"
        )
    if "(" in words:
        return _parse_range(field, words)
    parts = words.split(";" if ";" in words else ",")
    values = tuple(dict.fromkeys(part.strip() for part in parts))
    if not all(values):
        raise ValueError(f"--vary={text} has an empty value")
    return Varied(field, values, lambda generator: str(generator.choice(values)))


def _parse_range(field: str, words: str) -> Varied:
    found = _RANGE.fullmatch(words.replace(" ", ""))
    try:
        least, most = (float(found[number]) for number in (2, 3)) if found else (1, 0)
    except ValueError:
        least, most = 1, 0
    is_log = bool(found) and found[1] == "loguniform"  # type: ignore[index]
    if not (-np.inf < least < most < np.inf and (least > 0 or not is_log)):
        raise ValueError(
            f"--vary={field}={words} is no range: uniform(LEAST,MOST), or "
            "loguniform(LEAST,MOST) with LEAST above 0"
        )

    def draw(generator: np.random.Generator) -> str:
        if is_log:
            value = float(np.exp(generator.uniform(np.log(least), np.log(most))))
        else:
            value = generator.uniform(least, most)
        return f"{value:.{_DIGITS}g}"

    return Varied(field, (), draw)


def grid(varied: Sequence[Varied]) -> list[tuple[str, ...]]:
    """Returns every combination of values, as changes for `--set`.

    Raises:
        ValueError: A field has a range, of which there is no every value.

    Example:
        >>> from training.sweeps import settings
        >>> settings.grid([settings.parse("epochs=1,2"), settings.parse("seed=0,1")])[1]
        ('epochs=1', 'seed=1')
    """
    ranges = [each.field for each in varied if not each.values]
    if ranges:
        raise ValueError(
            f"--vary={ranges[0]}= is a range: say with --samples how many runs are "
            "drawn from it"
        )
    return list(
        itertools.product(
            *([f"{each.field}={value}" for value in each.values] for each in varied)
        )
    )


def sample(varied: Sequence[Varied], count: int, seed: int) -> list[tuple[str, ...]]:
    """Returns random settings, as changes for `--set`.

    The first ones stay the same when more are asked for; equal ones count once.

    Args:
        varied: What is drawn.
        count: How many.
        seed: Of the draws.
    """
    drawn = []
    for number in range(count):
        generator = np.random.default_rng([seed, number])
        drawn.append(tuple(f"{each.field}={each.draw(generator)}" for each in varied))
    return list(dict.fromkeys(drawn))


def folder_name(changes: Sequence[str]) -> str:
    """Returns the name of the folder of a run with these settings.

    Example:
        >>> from training.sweeps import settings
        >>> settings.folder_name(["peak_lr=1e-3", "weights=runs/a"])
        'peak_lr=1e-3,weights=runs-a'
    """
    return re.sub(r"[^\w.=,+-]+", "-", ",".join(changes))
