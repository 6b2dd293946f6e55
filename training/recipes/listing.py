"""What `--recipe=help` prints: the recipes with what they reach, and their fields."""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, fields
from typing import Any

from .augmentation import Augmentation
from .box_augmentation import BoxAugmentation
from .expected import Expectation, expect
from .mask_augmentation import MaskAugmentation
from .overrides import format_value
from .recipe import Recipe
from .table import RECIPES

# The name is the row's, and augmentation has lines of its own.
_ELSEWHERE = ("name", "augmentation", "mask_augmentation", "box_augmentation")
_COLUMNS = ("recipe", "task", "data", "accuracy", "time", "hardware", "measured by")


def list_recipes() -> str:
    """Returns all recipes and all fields, as lines for a terminal."""
    rows = [_COLUMNS, *(_row(recipe) for recipe in RECIPES.values())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    return "\n".join(
        [
            "Recipes; docs/recipes.md has the fields of each. Papers state no times: "
            "--dry_run beside this estimates them.",
            "",
            *(line.rstrip() for line in lines),
            "",
            "Fields with their defaults, changed by --set FIELD=VALUE:",
            "",
            *_describe(Recipe, leave_out=_ELSEWHERE),
            *_describe(Augmentation, prefix="augmentation."),
            *_describe(MaskAugmentation, prefix="mask_augmentation."),
            *_describe(BoxAugmentation, prefix="box_augmentation."),
        ]
    )


def format_accuracy(expected: Expectation) -> str:
    """Returns the accuracy with its unit, or that nobody has measured it.

    It is top-1 accuracy, or with words behind it mean IoU or average precision.
    """
    if expected.mask_ap is not None:
        return f"{expected.box_ap} % box AP, {expected.mask_ap} % mask AP"
    if expected.miou is not None:
        return f"{expected.miou} % mIoU"
    return "not measured" if expected.top1 is None else f"{expected.top1} %"


def format_time(expected: Expectation) -> str:
    """Returns the duration in hours and minutes; nothing where it is not known."""
    if expected.minutes is None:
        return ""
    hours, minutes = divmod(round(expected.minutes), 60)
    return f"{hours}:{minutes:02d} h"


def _row(recipe: Recipe) -> tuple[str, ...]:
    expected = expect(recipe)
    return (
        recipe.name,
        expected.task,
        expected.data,
        format_accuracy(expected),
        format_time(expected),
        expected.hardware,
        expected.source,
    )


def _describe(
    kind: type[Any], prefix: str = "", leave_out: tuple[str, ...] = ()
) -> list[str]:
    """Returns a line a field: its name, its default, the first sentence about it."""
    meanings = dict(
        re.findall(
            r"^    (\w+): (.*?)(?=^    \w+: |\Z)",
            inspect.getdoc(kind) or "",
            re.MULTILINE | re.DOTALL,
        )
    )
    lines = []
    for field in fields(kind):
        if field.name in leave_out:
            continue
        words = " ".join(meanings.get(field.name, "").split())
        sentence = re.match(r".*?\.(?= |$)", words)
        meaning = sentence[0] if sentence else words
        default = "" if field.default is MISSING else f"={format_value(field.default)}"
        lines.append(f"  {prefix}{field.name}{default}  {meaning}")
    return lines
