"""Runs drawn over each other, and what they reached against what they differ in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ..recipes.metric import Metric
from ..report.plots import INK, VALIDATION, dress, png, shorten
from .comparison import FoundRun

_COLORS = "tab10"
_LONGEST_NAME = 40
_COLUMNS = 3
# Values further apart than this are drawn on a logarithmic axis.
_WIDE = 20


def curves(runs: Sequence[FoundRun], metric: Metric) -> bytes:
    """Draws losses and the metric of several runs over the epochs.

    Args:
        runs: Ten at most have colors of their own.
        metric: The task's.

    Returns:
        A PNG.
    """
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    loss, other = figure.subplots(1, 2)
    colors = colormaps[_COLORS].colors  # type: ignore[attr-defined]
    for number, run in enumerate(runs):
        look = {"color": colors[number % len(colors)], "lw": 2}
        look |= {"marker": "o"} if len(run.history) < 3 else {}
        name = shorten(run.name, _LONGEST_NAME)
        _draw(loss, run, "loss", {**look, "lw": 1, "ls": ":"}, "")
        _draw(loss, run, "val_loss", look, "")
        _draw(other, run, f"val_{metric.figure}", look, name)
    dress(loss, "Loss (dotted: training)")
    dress(other, f"Validation {metric.words}")
    if metric.is_fraction:
        other.yaxis.set_major_formatter(PercentFormatter(1))
    for axes in (loss, other):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(
        *other.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=min(_COLUMNS, len(runs)),
        frameon=False,
    )
    return png(figure)


def _draw(axes: Axes, run: FoundRun, name: str, look: dict, label: str) -> None:
    rows = [row for row in run.history if name in row]
    if rows:
        values = [row[name] for row in rows]
        axes.plot([row["epoch"] for row in rows], values, label=label, **look)


def against_settings(
    columns: Sequence[tuple[str, Sequence[str]]],
    values: Sequence[float],
    metric: Metric,
) -> bytes:
    """Draws what each run reached against every setting that was varied.

    Args:
        columns: Fields, and the value that each run has of it.
        values: The metric of each run.
        metric: The task's.

    Returns:
        A PNG.
    """
    across = min(_COLUMNS, len(columns))
    down = -(-len(columns) // across)
    figure = Figure(figsize=(3.7 * across, 3.2 * down), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, (field, given) in zip(grid.flat, columns, strict=False):
        axes.set_axis_on()
        places = _numbers(given)
        if places is None:
            names = list(dict.fromkeys(given))
            places = [float(names.index(value)) for value in given]
            shown = [shorten(name) for name in names]
            axes.set_xticks(range(len(names)), shown, rotation=20)
            axes.margins(x=0.3)
        elif min(places) > 0 and max(places) / min(places) > _WIDE:
            axes.set_xscale("log")
        axes.plot(places, values, "o", color=VALIDATION, alpha=0.7)
        _draw_means(axes, places, values)
        dress(axes, f"Validation {metric.words}", field)
        if metric.is_fraction:
            axes.yaxis.set_major_formatter(PercentFormatter(1))
    return png(figure)


def _numbers(given: Sequence[str]) -> list[float] | None:
    try:
        found = [float(value) for value in given]
    except ValueError:
        return None
    return found if np.isfinite(found).all() else None


def _draw_means(axes: Axes, places: Sequence[float], values: Sequence[float]) -> None:
    """Joins the means over runs of the same value; drawn values have none."""
    at = np.unique(places)
    if 1 < len(at) < len(places):
        every = np.array(places)
        means = [np.mean(np.array(values)[every == place]) for place in at]
        axes.plot(at, means, color=INK, lw=1)
