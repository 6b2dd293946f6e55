"""What a sweep leaves beside its runs: a table and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_convnext import _files, _page
from keras_convnext._messages import UsageError, say

from ..recipes.metric import Metric
from ..report import results
from . import comparison, comparison_figures, comparison_html
from .comparison import FoundRun
from .plan import PlannedRun

TABLE, PAGE = "runs.csv", "report.html"
# Of metrics.json, beside the metric.
_FIGURES = ("loss", "best_epoch", "epochs", "parameters", "train_seconds")


@dataclass(frozen=True)
class Row:
    """A run of a sweep with what came of it.

    Attributes:
        run: The run.
        settings: Values of the varied fields.
        metrics: What its metrics.json holds; empty where it is not finished.
        problem: Why it failed; empty where it did not.
    """

    run: PlannedRun
    settings: Mapping[str, str]
    metrics: Mapping[str, Any]
    problem: str


def collect(
    planned: Sequence[PlannedRun], problems: Mapping[str, str], metric: Metric
) -> list[Row]:
    """Returns a row for each run, the best first and those that failed last."""
    rows = [
        Row(
            run,
            dict(change.partition("=")[::2] for change in run.changes),
            run.workdir.finished() or {},
            problems.get(run.name, ""),
        )
        for run in planned
    ]

    def place(row: Row) -> tuple[bool, float]:
        value = row.metrics.get(metric.name)
        return value is None, 0.0 if value is None else -metric.score(value)

    return sorted(rows, key=place)


def write_table(folder: Path, rows: Sequence[Row], metric: Metric) -> Path:
    """Writes runs.csv and returns its path."""
    fields = list(rows[0].settings)
    figures = tuple(dict.fromkeys((metric.name, f"best_{metric.name}", *_FIGURES)))
    head = ("run", *fields, *figures, "problem")
    body = [
        (
            row.run.name,
            *row.settings.values(),
            *(_cell(row.metrics.get(name)) for name in figures),
            row.problem,
        )
        for row in rows
    ]
    results.write_csv(folder / TABLE, head, body)
    return folder / TABLE


def _cell(value: Any) -> Any:
    return "" if value is None else value


def say_table(rows: Sequence[Row], metric: Metric) -> None:
    """Prints a line a run: its settings and what it reached."""
    head = (*rows[0].settings, metric.words)
    lines = [(*row.settings.values(), _reached(row, metric)) for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    for line in (head, *lines):
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        say("  ".join(cells).rstrip())


def _reached(row: Row, metric: Metric) -> str:
    if metric.name in row.metrics:
        return metric.show(row.metrics[metric.name])
    return "failed" if row.problem else "not finished"


def write_page(folder: Path, title: str, summary: str, sections: Sequence[str]) -> Path:
    """Writes report.html and returns its path.

    Args:
        folder: Of all runs.
        title: Heading of the page.
        summary: What stands below it.
        sections: HTML.
    """
    _files.write_text(folder / PAGE, _page.page(title, summary, "".join(sections)))
    return folder / PAGE


def settings_section(rows: Sequence[Row], metric: Metric) -> str:
    """Returns what runs reached against the settings that they differ in."""
    done = [row for row in rows if metric.name in row.metrics]
    if len(done) < 2:
        return ""
    fields = list(rows[0].settings)
    columns = [(name, [row.settings[name] for row in done]) for name in fields]
    values = [row.metrics[metric.name] for row in done]
    drawn = comparison_figures.against_settings(columns, values, metric)
    return _page.section(
        "Settings",
        _page.image("What runs reached by their settings", drawn),
        "A dot is a run. A line joins the means over runs of one value.",
    )


def curves(rows: Sequence[Row], metric: Metric) -> str:
    """Returns the curves of the best runs over each other."""
    shown = _readable(rows[: comparison_html.MOST_COMPARED])
    return comparison_html.curves_section(shown, metric)


def _readable(rows: Sequence[Row]) -> list[FoundRun]:
    found = []
    for row in rows:
        try:
            found.append(comparison.read(row.run.name, row.run.workdir.path))
        except UsageError:
            continue  # It failed before its first epoch was done.
    return found


def runs_section(rows: Sequence[Row], metric: Metric) -> str:
    """Returns the table of all runs."""
    head = (*rows[0].settings, "", f"validation {metric.words}", "loss", "seconds")
    body = [
        (
            *row.settings.values(),
            row.problem,
            _reached(row, metric),
            f"{row.metrics['loss']:.4f}" if "loss" in row.metrics else "-",
            f"{row.metrics['train_seconds']:,.0f}" if row.metrics else "-",
        )
        for row in rows
    ]
    return _page.section("Runs", _page.table(head, body, numbers=3))
