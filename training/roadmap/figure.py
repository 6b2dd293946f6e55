"""The paper's figure 2, drawn from one's own runs."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .runs import StepSummary

_Map = Callable[[Any], Any]

_BAR = "#0b6bcb"
_COST = "#8a94a6"
_PAPER = "#c4320a"
_INK = "#1f2733"
_FAINT = "#e4e8ee"
_DPI = 120
_BAR_HEIGHT = 0.62


def draw(summaries: Sequence[StepSummary]) -> bytes:
    """Draws accuracy and cost of every step, the paper's as hollow marks.

    The paper's axis runs along the top. It is shifted, never stretched, so that the
    first step's mark lies on its bar: a percentage point is as long on both.

    Args:
        summaries: In the order of the road, at least one.

    Returns:
        A PNG.
    """
    rows = np.arange(len(summaries))
    figure = Figure(figsize=(11, 1.9 + 0.46 * len(summaries)), layout="constrained")
    accuracy, cost = figure.subplots(1, 2, sharey=True, width_ratios=(7, 3))
    _accuracies(accuracy, rows, summaries)
    _costs(cost, rows, summaries)
    accuracy.set_yticks(rows, [summary.step for summary in summaries])
    accuracy.invert_yaxis()
    figure.legend(
        *accuracy.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )
    file = io.BytesIO()
    FigureCanvasAgg(figure).print_figure(file, dpi=_DPI, facecolor="white")
    return file.getvalue()


def _accuracies(axes: Axes, rows: np.ndarray, summaries: Sequence[StepSummary]) -> None:
    means = np.array([100 * summary.mean for summary in summaries])
    spreads = np.array([100 * (summary.spread or 0.0) for summary in summaries])
    printed = np.array([summary.paper.accuracy for summary in summaries])
    shift = means[0] - printed[0]
    axes.barh(rows, means, _BAR_HEIGHT, color=_BAR, alpha=0.8, label="here: mean")
    axes.errorbar(means, rows, xerr=spreads, fmt="none", ecolor=_INK, capsize=3, lw=1.2)
    for row, summary in zip(rows, summaries, strict=True):
        own = [100 * top1 for top1 in summary.top1]
        label = "here: each seed, with standard deviation" if row == 0 else None
        axes.plot(own, [row] * len(own), "o", color=_INK, ms=3.5, label=label)
    axes.plot(
        printed + shift,
        rows,
        "D",
        mfc="none",
        mec=_PAPER,
        mew=1.6,
        ms=8,
        label="the paper, ImageNet-1k (top axis)",
    )
    singles = [100 * top1 for summary in summaries for top1 in summary.top1]
    low = min(*singles, *(printed + shift), *(means - spreads))
    high = max(*singles, *(printed + shift), *(means + spreads))
    margin = max(0.06 * (high - low), 0.5)
    room = 2.2 * margin  # for the figures written inside the bars' feet
    axes.set_xlim(low - margin - room, high + margin)
    _write_in_feet(axes, rows, means)
    axes.set_xlabel("top-1 here, % (the axis does not begin at 0)", color=_INK)
    _dress(axes)
    _paper_axis(axes, lambda x: x - shift, lambda x: x + shift, "the paper's top-1, %")


def _costs(axes: Axes, rows: np.ndarray, summaries: Sequence[StepSummary]) -> None:
    own = np.array([summary.multiply_accumulates / 1e6 for summary in summaries])
    printed = np.array([summary.paper.gflops for summary in summaries])
    ratio = own[0] / printed[0]
    axes.barh(rows, own, _BAR_HEIGHT, color=_COST)
    axes.plot(printed * ratio, rows, "D", mfc="none", mec=_PAPER, mew=1.6, ms=8)
    _write_in_feet(axes, rows, own)
    axes.set_xlim(0, 1.1 * max(*own, *(printed * ratio)))
    axes.set_xlabel("million multiply-accumulates here", color=_INK)
    _dress(axes)
    _paper_axis(axes, lambda x: x / ratio, lambda x: x * ratio, "the paper's GFLOPs")


def _write_in_feet(axes: Axes, rows: np.ndarray, values: np.ndarray) -> None:
    for row, value in zip(rows, values, strict=True):
        axes.annotate(
            f"{value:.1f}",
            (0, row),
            xycoords=("axes fraction", "data"),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color="white",
            weight="bold",
        )


def _paper_axis(axes: Axes, to_paper: _Map, from_paper: _Map, label: str) -> None:
    above = axes.secondary_xaxis("top", functions=(to_paper, from_paper))
    above.set_xlabel(label, color=_PAPER)
    above.tick_params(colors=_PAPER, length=0)
    above.spines["top"].set_visible(False)


def _dress(axes: Axes) -> None:
    axes.grid(axis="x", color=_FAINT)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_FAINT)
    axes.tick_params(length=0, colors=_INK)
