"""Several runs side by side: settings, figures, classes and images that differ."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_convnext._messages import UsageError, checked

from ..recipes import recipe
from ..recipes.metric import Metric
from ..recipes.overrides import flatten, format_value
from ..tasks import find_task
from ..workdir import history
from ..workdir.layout import Workdir

# What is told of a run elsewhere, or of no interest beside another.
_NO_SETTINGS = ("name", "train_examples", "eval_examples", "classes")
_MOST_DIGITS = 5


@dataclass(frozen=True)
class FoundRun:
    """What a run has left so far.

    Attributes:
        name: What it is called beside the others.
        workdir: Its folder.
        fields: What its recipe.json holds.
        metrics: What its metrics.json holds; empty of one that is not finished.
        history: The figures of every epoch so far.
    """

    name: str
    workdir: Workdir
    fields: Mapping[str, Any]
    metrics: Mapping[str, Any]
    history: Sequence[Mapping[str, float]]


def read(name: str, path: Path) -> FoundRun:
    """Returns what a run has left.

    Args:
        name: What to call it.
        path: Its workdir.

    Raises:
        UsageError: No run lives there, or it has finished no epoch.
    """
    workdir = Workdir(path)
    fields = workdir.stored()
    if fields is None:
        raise UsageError(f"{path} is no run's folder: it has no recipe.json")
    rows = history.read(workdir.history)
    metrics = workdir.finished() or {}
    if not rows and not metrics:
        raise UsageError(f"{path} has no epoch to compare yet")
    return FoundRun(name, workdir, fields, metrics, rows)


def shortest_names(paths: Sequence[Path]) -> list[str]:
    """Returns the ends of paths that tell them apart, of one length where they can.

    Example:
        >>> from pathlib import Path
        >>> from training.sweeps import comparison
        >>> comparison.shortest_names([Path("a/run"), Path("b/run"), Path("c/other")])
        ['a/run', 'b/run', 'c/other']
    """
    parts = [path.absolute().parts for path in paths]
    length = 1
    while length < max(map(len, parts)):
        names = ["/".join(each[-length:]) for each in parts]
        if len(set(names)) == len(set(parts)):
            return names
        length += 1
    return [str(path) for path in paths]


def metric_of(runs: Sequence[FoundRun]) -> Metric:
    """Returns what runs are compared by: their task's metric.

    It is the same whatever each run chose its best epoch by.

    Raises:
        UsageError: The runs are of different tasks.
    """
    recipes = [checked(recipe.from_json, run.fields) for run in runs]
    metrics = {find_task(replace(each, best_metric=None)).metric for each in recipes}
    if len(metrics) > 1:
        words = " and ".join(metric.words for metric in metrics)
        raise UsageError(f"the runs are of different tasks, measured by {words}")
    return metrics.pop()


def differing_settings(runs: Sequence[FoundRun]) -> list[tuple[str, list[str]]]:
    """Returns the fields that are not the same in all runs, with each run's value."""
    flat = [_shown_settings(run.fields) for run in runs]
    names = dict.fromkeys(name for fields in flat for name in fields)
    rows = [(name, [fields.get(name, "-") for fields in flat]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def _shown_settings(fields: Mapping[str, Any]) -> dict[str, str]:
    plain = {name: value for name, value in fields.items() if name not in _NO_SETTINGS}
    return {
        name: format_value(tuple(value) if isinstance(value, list) else value)
        for name, value in flatten(plain).items()
    }


def figures(runs: Sequence[FoundRun]) -> list[tuple[str, list[str]]]:
    """Returns the numbers of metrics.json that any run has, with each run's."""
    names = dict.fromkeys(name for run in runs for name in run.metrics)
    return [
        (name, [_shown(run.metrics.get(name)) for run in runs])
        for name in names
        if any(_is_number(run.metrics.get(name)) for run in runs)
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.{_MOST_DIGITS}g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


@dataclass(frozen=True)
class Answers:
    """A classifier's answers for its validation images.

    Attributes:
        truth: The true class of each image, by the image's name.
        is_correct: Whether the answer was right.
    """

    truth: Mapping[str, str]
    is_correct: Mapping[str, bool]

    def recall(self, name: str) -> float | None:
        """Returns the recall of a class; None without an image of it."""
        of_class = [image for image, label in self.truth.items() if label == name]
        right = sum(self.is_correct[image] for image in of_class)
        return right / len(of_class) if of_class else None


def answers(run: FoundRun) -> Answers | None:
    """Returns the rows of validation.csv; None of a run that has no such rows."""
    file = run.workdir.validation
    if not run.metrics or not file.is_file():
        return None
    with file.open(encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    if not rows or not {"image", "true", "predicted"} <= rows[0].keys():
        return None
    return Answers(
        {row["image"]: row["true"] for row in rows},
        {row["image"]: row["true"] == row["predicted"] for row in rows},
    )


@dataclass(frozen=True)
class Disagreement:
    """On how many of the same images one of two runs alone is right.

    Attributes:
        images: Images that both were evaluated on.
        first_only: Of them, those that the first alone gets right.
        second_only: Those that the second alone gets right.
    """

    images: int
    first_only: int
    second_only: int

    @property
    def p_value(self) -> float:
        """Probability of so uneven a disagreement between equally good models.

        McNemar's exact test: of the images that one alone gets right, each is equally
        likely to be of either.
        """
        count = self.first_only + self.second_only
        fewer = min(self.first_only, self.second_only)
        tail = sum(math.comb(count, k) for k in range(fewer + 1))
        return min(1.0, 2 * tail / 2**count)


def disagreement(first: Answers, second: Answers) -> Disagreement | None:
    """Returns how two runs differ on the same images; None where images differ."""
    if first.truth != second.truth:
        return None
    pairs = [(first.is_correct[name], second.is_correct[name]) for name in first.truth]
    return Disagreement(
        len(pairs), pairs.count((True, False)), pairs.count((False, True))
    )
