"""What a model said of images, as a table, as CSV or as JSON."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
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
        frame: Which frame of a video, from 0; None of images.
        seconds: When it is shown, from the first frame on; None of images.
    """

    image: str
    best: Sequence[tuple[str, float]]
    problem: str = ""
    labels: Sequence[str] | None = None
    number: float | None = None
    frame: int | None = None
    seconds: float | None = None

    @property
    def title(self) -> str:
        """The image's name, and of a video the frame and its time."""
        return title(self.image, self.frame, self.seconds)


@dataclass(frozen=True)
class Columns:
    """What a table of answers has beside images and problems.

    Attributes:
        ranks: Classes an image.
        has_frames: Frame number and time of videos.
        has_numbers: A number.
        has_labels: The labels above their thresholds.
    """

    ranks: int
    has_frames: bool = False
    has_numbers: bool = False
    has_labels: bool = False


def title(name: str, frame: int | None, seconds: float | None) -> str:
    """Returns an image's name, and of a video the frame and its time."""
    return name if frame is None else f"{name}  frame {frame}  {seconds:.2f} s"


def frame_fields(frame: int | None, seconds: float | None) -> dict[str, Any]:
    """Returns what JSON has of a video's frame; nothing of an image."""
    return {} if frame is None else {"frame": frame, "seconds": seconds}


def as_table(answers: Iterable[Answer], _: Columns | None = None) -> Iterator[str]:
    """Yields a few lines an image, with bars; problems are left out.

    Labels above their thresholds are marked.
    """
    for answer in answers:
        if answer.problem:
            continue
        if answer.number is not None:
            yield f"{answer.title}  {answer.number:.6g}"
            continue
        yield answer.title
        width = max(len(name) for name, _ in answer.best)
        for name, share in answer.best:
            bar = "━" * round(_BAR_WIDTH * share)
            mark = " ✓" if name in (answer.labels or ()) else ""
            yield f"  {name:<{width}}  {share:7.2%}  {bar}{mark}".rstrip()


def as_csv(answers: Iterable[Answer], columns: Columns) -> Iterator[str]:
    """Yields a row an image: its name, classes and probabilities, the problem."""
    head = ["picture", *(["frame", "seconds"] if columns.has_frames else [])]
    for rank in range(1, columns.ranks + 1):
        head += [f"class_{rank}", f"probability_{rank}"]
    head += ["number"] if columns.has_numbers else []
    head += ["labels"] if columns.has_labels else []
    yield _csv_line([*head, "problem"])
    for answer in answers:
        cells = [answer.image]
        if columns.has_frames:
            cells += [_shown(answer.frame), _shown(answer.seconds)]
        best = [cell for name, share in answer.best for cell in (name, f"{share:.6g}")]
        cells += best + [""] * (2 * columns.ranks - len(best))
        cells += [_shown(answer.number)] if columns.has_numbers else []
        cells += [";".join(answer.labels or ())] if columns.has_labels else []
        yield _csv_line([*cells, answer.problem])


def _csv_line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def as_json(answers: Iterable[Answer], _: Columns | None = None) -> Iterator[str]:
    """Yields a list of objects with "picture", "answers" or "number", "problem"."""
    before = "["
    for answer in answers:
        text = json.dumps(_as_object(answer), indent=2, ensure_ascii=False)
        # What follows an object is known with the next one.
        yield before
        *lines, before = textwrap.indent(text, "  ").splitlines()
        yield from lines
        before += ","
    yield "[]" if before == "[" else before.removesuffix(",")
    if before != "[":
        yield "]"


def _as_object(answer: Answer) -> dict[str, Any]:
    if answer.number is not None:
        said: dict[str, Any] = {"number": answer.number}
    else:
        best = [{"class": name, "probability": share} for name, share in answer.best]
        said = {"answers": best}
        if answer.labels is not None:
            said["labels"] = list(answer.labels)
    where = frame_fields(answer.frame, answer.seconds)
    return {"picture": answer.image, **where, **said, "problem": answer.problem or None}


# Each line by line, as answers come, for a video may be long.
FORMATS: dict[str, Callable[[Iterable[Answer], Columns], Iterator[str]]] = {
    "table": as_table,
    "csv": as_csv,
    "json": as_json,
}
