"""What the pages of all tasks have: skipped images, next steps, the recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from keras_convnext import _page

from ..recipes.recipe import Recipe
from ..recipes.task_fields import fields_of_other_tasks
from ..workdir.layout import Workdir
from .next_steps import steps
from .outcome import Outcome

_MOST_LEFT_OUT = 50


def summary(metrics: Mapping[str, Any]) -> str:
    """Returns what a run did, in a sentence or two."""
    classes = f" of {metrics['classes']} classes" if metrics["classes"] else ""
    words = (
        f"Trained on {metrics['train_examples']:,} images{classes} "
        f"for {metrics['epochs']} epochs; evaluated on "
        f"{metrics['eval_examples']:,} validation images."
    )
    if metrics["kept_epoch"] != metrics["epochs"]:
        words += (
            f" The weights are those of epoch {metrics['kept_epoch']}, the best "
            "on these images, so the metrics are slightly optimistic."
        )
    return words


def ending(outcome: Outcome, columns: Mapping[str, tuple[str, str]]) -> list[str]:
    """Returns the sections that every page ends with.

    Args:
        outcome: Of the run.
        columns: Of its history, as `history` takes them.
    """
    return [
        left_out(outcome.source.skipped),
        next_steps(outcome.workdir),
        recipe_fields(outcome.recipe),
        _page.section("History", history(outcome.history, columns)),
    ]


def history(
    rows: Sequence[Mapping[str, float]], columns: Mapping[str, tuple[str, str]]
) -> str:
    """Returns the table of a run's epochs.

    Args:
        rows: The figures of each epoch.
        columns: For each figure its head and its format; those that the run does not
            have are left out, and empty where an epoch has not.
    """
    shown = {
        name: words
        for name, words in columns.items()
        if any(name in row for row in rows)
    }
    lines = [
        (
            f"{row['epoch']:.0f}",
            *(
                f"{row[name]:{form}}" if name in row else ""
                for name, (_, form) in shown.items()
            ),
        )
        for row in rows
    ]
    head = ("epoch", *(words for words, _ in shown.values()))
    return _page.table(head, lines, numbers=len(head))


def left_out(skipped: Sequence[tuple[str, str]]) -> str:
    """Returns a section with the images that could not be read; nothing for none."""
    if not skipped:
        return ""
    shown = skipped[:_MOST_LEFT_OUT]
    more = f" The first {len(shown)}:" if len(shown) < len(skipped) else ""
    what = "1 image" if len(skipped) == 1 else f"{len(skipped):,} images"
    words = f"{what} could not be read.{more}"
    rows = [(str(path), reason) for path, reason in shown]
    return _page.section("Skipped images", _page.table(("image", "why"), rows), words)


def next_steps(workdir: Workdir) -> str:
    """Returns a section with the commands that use what a run left."""
    rows = [(words, _page.code(command)) for words, command in steps(workdir)]
    return _page.section("Next steps", _page.table((), rows))


def recipe_fields(recipe: Recipe) -> str:
    """Returns a section with all fields of a recipe that its task has."""
    lines: list[tuple[str, str]] = []
    others = fields_of_other_tasks(recipe.task)
    for name, value in asdict(recipe).items():
        if name in others:
            continue
        if isinstance(value, dict):
            lines += [
                (f"{name}.{inner}", _value(part)) for inner, part in value.items()
            ]
        else:
            lines.append((name, _value(value)))
    return _page.section("Recipe", _page.table(("field", "value"), lines))


def _value(value: object) -> str:
    """Returns a value as people write it."""
    if value is None or value == "":
        return "none" if value is None else "-"
    if isinstance(value, tuple):
        return ",".join(map(_value, value))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
