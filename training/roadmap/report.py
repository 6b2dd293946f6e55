"""What is made of a road's results: a summary, a table, and the paper's figure 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from keras_convnext import _files, roadmap

from . import figure
from .runs import Result, RoadFolder, StepSummary, results


def summarize(found: Sequence[Result], regime: str) -> list[StepSummary]:
    """Returns a summary for each step that has results, in the road's order."""
    printed = {
        row.step: row.paper
        for row in roadmap.table(regime)
        if row.recipe == roadmap.ENHANCED_RECIPE
    }
    summaries = []
    for step in roadmap.STEPS:
        own = [result for result in found if result.step == step]
        if own:
            summaries.append(
                StepSummary(
                    step=step,
                    top1=tuple(result.top1 for result in own),
                    parameters=own[0].parameters,
                    multiply_accumulates=own[0].multiply_accumulates,
                    paper=printed[step],
                )
            )
    return summaries


def leave(folder: RoadFolder, settings: dict[str, Any]) -> str:
    """Writes roadmap.json, roadmap.md and roadmap.png.

    Args:
        folder: Where the results lie.
        settings: What they have in common.

    Returns:
        The table of roadmap.md.
    """
    found = results(folder)
    summaries = summarize(found, settings["regime"])
    _files.write_json(
        folder.summary,
        {"settings": settings, "runs": [asdict(result) for result in found]},
    )
    table = markdown(summaries)
    _files.write_text(folder.table, table + "\n")
    with _files.replacing(folder.figure) as partial:
        partial.write_bytes(figure.draw(summaries))
    return table


def markdown(summaries: Sequence[StepSummary]) -> str:
    """Returns the results as a Markdown table, the paper's figures beside them."""
    lines = [
        "| step | parameters | M multiply-accumulates | top-1 here | seeds | "
        "change here | paper's top-1 | change in the paper |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    by_step = {summary.step: summary for summary in summaries}
    for summary in summaries:
        before = previous(summary.step, by_step)
        spread = "" if summary.spread is None else f" ± {summary.spread:.2%}"
        here = there = ""
        if before is not None:
            here = f"{100 * (summary.mean - before.mean):+.2f}"
            there = f"{summary.paper.accuracy - before.paper.accuracy:+.2f}"
        lines.append(
            f"| {summary.step} | {summary.parameters:,} "
            f"| {summary.multiply_accumulates / 1e6:.2f} "
            f"| {summary.mean:.2%}{spread} | {len(summary.top1)} | {here} "
            f"| {summary.paper.accuracy:.2f} | {there} |"
        )
    return "\n".join(lines)


def previous(step: str, by_step: dict[str, StepSummary]) -> StepSummary | None:
    """Returns the nearest step back along the road that was trained too.

    Args:
        step: One of `roadmap.STEPS`.
        by_step: What was trained.
    """
    after = roadmap.STEP_BY_NAME[step].after
    while after is not None and after not in by_step:
        after = roadmap.STEP_BY_NAME[after].after
    return None if after is None else by_step[after]
