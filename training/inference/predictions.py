"""What a model said of images, as a table, as CSV or as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

_BAR_WIDTH = 20


@dataclass(frozen=True)
class Answer:
    """What was said of one image.

    Attributes:
        image: What it was named.
        best: Class names and probabilities, the likeliest first.
        problem: Why nothing was said; empty where something was.
        labels: Those that apply, of a model with thresholds of labels; None of others.
        number: What a model that answers with one says; None of others.
    """

    image: str
    best: Sequence[tuple[str, float]]
    problem: str = ""
    labels: Sequence[str] | None = None
    number: float | None = None


def as_table(answers: Sequence[Answer]) -> str:
    """Returns a few lines an image, with bars; problems are left out.

    Labels above their thresholds are marked.
    """
    lines = []
    for answer in answers:
        if answer.problem:
            continue
        if answer.number is not None:
            lines.append(f"{answer.image}  {answer.number:.6g}")
            continue
        lines.append(answer.image)
        width = max(len(name) for name, _ in answer.best)
        for name, share in answer.best:
            bar = "━" * round(_BAR_WIDTH * share)
            mark = " ✓" if name in (answer.labels or ()) else ""
            lines.append(f"  {name:<{width}}  {share:7.2%}  {bar}{mark}".rstrip())
    return "\n".join(lines)


def as_csv(answers: Sequence[Answer]) -> str:
    """Returns a row an image: its name, classes and probabilities, the problem."""
    ranks = max((len(answer.best) for answer in answers), default=0)
    head = ["picture"]
    for rank in range(1, ranks + 1):
        head += [f"class_{rank}", f"probability_{rank}"]
    has_numbers = any(answer.number is not None for answer in answers)
    if has_numbers:
        head.append("number")
    has_labels = any(answer.labels is not None for answer in answers)
    if has_labels:
        head.append("labels")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*head, "problem"])
    for answer in answers:
        cells = [cell for name, share in answer.best for cell in (name, f"{share:.6g}")]
        cells += [""] * (2 * ranks - len(cells))
        if has_numbers:
            cells.append("" if answer.number is None else f"{answer.number:.6g}")
        if has_labels:
            cells.append(";".join(answer.labels or ()))
        writer.writerow([answer.image, *cells, answer.problem])
    return text.getvalue().rstrip("\n")


def as_json(answers: Sequence[Answer]) -> str:
    """Returns a list of objects with "picture", "answers" or "number", "problem"."""
    rows = [
        {
            "picture": answer.image,
            **_as_object(answer),
            "problem": answer.problem or None,
        }
        for answer in answers
    ]
    return json.dumps(rows, indent=2, ensure_ascii=False)


def _as_object(answer: Answer) -> dict[str, Any]:
    if answer.number is not None:
        return {"number": answer.number}
    best = [{"class": name, "probability": share} for name, share in answer.best]
    labels = {} if answer.labels is None else {"labels": list(answer.labels)}
    return {"answers": best, **labels}


FORMATS: dict[str, Callable[[Sequence[Answer]], str]] = {
    "table": as_table,
    "csv": as_csv,
    "json": as_json,
}
