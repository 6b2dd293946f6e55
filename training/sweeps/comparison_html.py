"""The pages of several runs: compared with each other, or as the runs of a sweep."""

from __future__ import annotations

from collections.abc import Sequence

from keras_convnext import _page

from ..recipes.metric import Metric
from . import comparison, comparison_figures
from .comparison import Answers, FoundRun

# More do not stand side by side.
MOST_COMPARED = 10
_MOST_CLASSES = 50
_NOTABLE = 0.05


def page(runs: Sequence[FoundRun], metric: Metric) -> str:
    """Returns runs side by side as one HTML file that needs nothing beside it.

    Args:
        runs: Two or more of one task.
        metric: The task's.
    """
    names = [run.name for run in runs]
    count = len(runs)
    settings = comparison.differing_settings(runs)
    body = [
        _page.section(
            "Metrics",
            _page.table(("", *names), _rows(comparison.figures(runs)), numbers=count),
            "Of model.keras on the validation images; of finished runs.",
        ),
        _page.section(
            "Settings that differ",
            _page.table(("field", *names), _rows(settings))
            if settings
            else "<p>None.</p>",
        ),
        curves_section(runs, metric),
        _classes(runs),
    ]
    title = f"{count} runs" if count > 2 else " and ".join(names)
    return _page.page(title, _summary(runs, metric), "".join(body))


def _rows(found: Sequence[tuple[str, Sequence[str]]]) -> list[tuple[str, ...]]:
    return [(name, *values) for name, values in found]


def _summary(runs: Sequence[FoundRun], metric: Metric) -> str:
    finished = [run for run in runs if metric.name in run.metrics]
    if not finished:
        return "None of the runs is finished."
    best = max(finished, key=lambda run: metric.score(run.metrics[metric.name]))
    reached = metric.show(best.metrics[metric.name])
    words = f"The best validation {metric.words} is {reached}, of {best.name}."
    if len(finished) < len(runs):
        words += f" {len(runs) - len(finished)} of {len(runs)} runs are not finished."
    return words


def curves_section(runs: Sequence[FoundRun], metric: Metric) -> str:
    """Returns the section with all runs' curves over each other."""
    shown = [run for run in runs if run.history]
    if not shown:
        return ""
    drawn = comparison_figures.curves(shown, metric)
    return _page.section("Training curves", _page.image("Training curves", drawn))


def _classes(runs: Sequence[FoundRun]) -> str:
    """Returns each class's recall in every run, and on which images two differ."""
    found = [(run.name, comparison.answers(run)) for run in runs]
    known = [(name, answers) for name, answers in found if answers is not None]
    if len(known) < 2:
        return ""
    (first_name, first), *others = known
    words = [
        _disagreement_words(first_name, first, name, answers)
        for name, answers in others
    ]
    classes = sorted({label for _, each in known for label in each.truth.values()})
    rows = [(name, [answers.recall(name) for _, answers in known]) for name in classes]
    rows.sort(key=lambda row: -_spread(row[1]))
    head = ["class", *(name for name, _ in known)]
    head += [f"{name} - {first_name}" for name, _ in others]
    lines = [_class_line(name, recalls) for name, recalls in rows[:_MOST_CLASSES]]
    more = "" if len(rows) <= _MOST_CLASSES else f" The first {_MOST_CLASSES}."
    said = f"The recall of each class, those that differ most first.{more}"
    body = _page.table(head, lines, numbers=len(head) - 1)
    return _page.section("Per-class results", body, " ".join([said, *words]))


def _spread(recalls: Sequence[float | None]) -> float:
    known = [recall for recall in recalls if recall is not None]
    return max(known) - min(known) if known else 0.0


def _class_line(name: str, recalls: Sequence[float | None]) -> tuple[str, ...]:
    first, *others = recalls
    shown = ["-" if recall is None else f"{recall:.1%}" for recall in recalls]
    for recall in others:
        known = recall is not None and first is not None
        shown.append(f"{100 * (recall - first):+.1f}" if known else "-")  # type: ignore[operator]
    return (name, *shown)


def _disagreement_words(
    first_name: str, first: Answers, name: str, second: Answers
) -> str:
    found = comparison.disagreement(first, second)
    if found is None:
        return f"{name} has other validation images than {first_name}."
    words = (
        f"Of {found.images:,} images {found.first_only:,} are right in {first_name} "
        f"alone and {found.second_only:,} in {name} alone (McNemar's p = "
        f"{found.p_value:.2g})"
    )
    if found.p_value >= _NOTABLE:
        words += ", which may be chance"
    return f"{words}."
