"""The page that ties a run together, with everything it shows inside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from typing import Any

import numpy as np

from keras_convnext import _files

from ..data.class_balance import counts as class_counts
from ..data.class_balance import notices
from ..data.source import Source
from ..evaluation.metrics import TOP, Predictions
from ..workdir.layout import Workdir
from .next_steps import steps
from .outcome import Outcome
from .progress import clock

# In the order of the page: the title and a word on how to read it.
_IMAGES = {
    "curves.png": ("Training curves", ""),
    "confusion.png": (
        "Confusion matrix",
        "Rows are true labels, columns are predicted labels.",
    ),
    "mistakes.png": (
        "Most confident errors",
        "Validation images with a wrong prediction, the highest confidence first: hard "
        "or unusual images, and sometimes images with a wrong label.",
    ),
    "predictions.png": (
        "Predictions",
        "Validation images at equal distances in their order.",
    ),
    "explained.png": (
        "Saliency",
        "Grad-CAM: warm regions support the prediction. Gradient: dark pixels "
        "influence it most. Wrong predictions come first.",
    ),
    "calibration.png": (
        "Calibration",
        "A bar that reaches the dashed line: of the predictions with 80 % confidence, "
        "80 % are correct.",
    ),
    "embedding.png": (
        "Feature embedding (PCA)",
        "The features before the classifier on their two principal components. The "
        "color of a frame is the class.",
    ),
}
_CLASSES_AFTER = "mistakes.png"
_MOST_CLASSES = 50
_MOST_LEFT_OUT = 50

_STYLE = """
:root { --ink: #1f2733; --quiet: #5b6675; --line: #e4e8ee; --key: #0b6bcb; }
* { box-sizing: border-box; }
body { margin: 0; background: #f6f7f9; color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.15rem; margin: 0 0 1rem; }
p { margin: 0 0 1rem; } .quiet { color: var(--quiet); }
section { background: white; border: 1px solid var(--line); border-radius: 10px;
  padding: 1.5rem; margin-top: 1.5rem; overflow-x: auto; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr));
  gap: .8rem; margin-top: 1.5rem; }
.figures div { background: white; border: 1px solid var(--line); border-radius: 10px;
  padding: .9rem 1rem; }
.figures b { display: block; font-size: 1.35rem; line-height: 1.3; color: var(--key); }
.figures span { color: var(--quiet); font-size: .85rem; line-height: 1.3;
  display: block; }
img { max-width: 100%; height: auto; display: block; margin: 0 auto; }
table { border-collapse: collapse; width: 100%; font-size: .95rem; }
th, td { text-align: left; padding: .35rem 1rem .35rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--quiet); font-weight: 500; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
code { font: .9em ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
"""


def page(outcome: Outcome, images: Mapping[str, bytes], names: Sequence[str]) -> str:
    """Returns the report as one HTML file that needs nothing beside it.

    Args:
        outcome: Of classification: its details are predictions.
        images: PNGs by file name.
        names: File names of the validation images, in their order.
    """
    source, metrics = outcome.source, outcome.metrics
    predictions: Predictions = outcome.details
    title = f"{outcome.recipe.variant} on {source.name}"
    sections = []
    for name, (heading, words) in _IMAGES.items():
        if name in images:
            body = _image(heading, images[name])
            if name == "mistakes.png":
                body += _mistakes(predictions, source.classes, names)
            sections.append(_section(heading, body, words))
        if name == _CLASSES_AFTER:
            sections.append(_class_section(predictions, source))
    if source.skipped:
        sections.append(_left_out(source.skipped))
    sections.append(_section("Next steps", _next(outcome.workdir)))
    sections.append(_section("Recipe", _recipe(asdict(outcome.recipe))))
    sections.append(_section("History", _history(outcome.history)))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<main>\n<h1>{escape(title)}</h1>\n"
        f'<p class="quiet">{escape(_summary(metrics))}</p>\n'
        f"{_figures(metrics)}\n{''.join(sections)}\n</main>\n</body>\n</html>\n"
    )


def write(outcome: Outcome, images: Mapping[str, bytes], names: Sequence[str]) -> None:
    """Writes the report into the workdir; it takes what `page` does."""
    _files.write_text(outcome.workdir.report, page(outcome, images, names))


def _summary(metrics: Mapping[str, Any]) -> str:
    words = (
        f"Trained on {metrics['train_examples']:,} images of {metrics['classes']} "
        f"classes for {metrics['epochs']} epochs; evaluated on "
        f"{metrics['eval_examples']:,} validation images."
    )
    if metrics["kept_epoch"] != metrics["epochs"]:
        words += (
            f" The weights are those of epoch {metrics['kept_epoch']}, the best "
            "on these images, so the metrics are slightly optimistic."
        )
    return words


def _left_out(skipped: Sequence[tuple[str, str]]) -> str:
    shown = skipped[:_MOST_LEFT_OUT]
    more = f" The first {len(shown)}:" if len(shown) < len(skipped) else ""
    what = "1 image" if len(skipped) == 1 else f"{len(skipped):,} images"
    words = f"{what} could not be read.{more}"
    rows = [(str(path), reason) for path, reason in shown]
    return _section("Skipped images", _table(("image", "why"), rows, numbers=0), words)


def _next(workdir: Workdir) -> str:
    lines = "".join(
        f"<tr><td>{escape(words)}</td><td><code>{escape(command)}</code></td></tr>\n"
        for words, command in steps(workdir)
    )
    return f"<table>\n{lines}</table>"


def _figures(metrics: Mapping[str, Any]) -> str:
    top5 = ((f"{metrics['top5']:.2%}", "Top-5 accuracy"),)
    shown = (
        (f"{metrics['top1']:.2%}", "Top-1 accuracy"),
        *(top5 if metrics["classes"] > TOP else ()),
        (f"{metrics['mean_class_accuracy']:.2%}", "Mean per-class accuracy"),
        (f"{metrics['loss']:.4f}", "Cross-entropy"),
        (f"{metrics['calibration_error']:.2%}", "Calibration error"),
        (f"{metrics['parameters'] / 1e6:.2f} M", "Parameters"),
        (clock(metrics["train_seconds"]), "Training time"),
    )
    boxes = "".join(
        f"<div><b>{value}</b><span>{name}</span></div>" for value, name in shown
    )
    return f'<div class="figures">{boxes}</div>'


def _section(title: str, body: str, words: str = "") -> str:
    said = f'<p class="quiet">{escape(words)}</p>\n' if words else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{said}{body}\n</section>\n"


def _image(title: str, png: bytes) -> str:
    data = base64.b64encode(png).decode("ascii")
    return f'<img alt="{escape(title)}" src="data:image/png;base64,{data}">'


def _table(head: Sequence[str], body: Sequence[Sequence[str]], numbers: int) -> str:
    """Returns a table whose last `numbers` columns are numbers."""

    def line(cells: Sequence[str], kind: str) -> str:
        first_number = len(cells) - numbers
        return "".join(
            f"<{kind}{' class=number' if column >= first_number else ''}>"
            f"{escape(cell)}</{kind}>"
            for column, cell in enumerate(cells)
        )

    lines = "".join(f"<tr>{line(cells, 'td')}</tr>\n" for cells in body)
    return f"<table>\n<tr>{line(head, 'th')}</tr>\n{lines}</table>"


def _class_section(predictions: Predictions, source: Source) -> str:
    words = " ".join(f"{line[0].upper()}{line[1:]}." for line in notices(source))
    if len(source.classes) > _MOST_CLASSES:
        words += (
            f" The {_MOST_CLASSES} of {len(source.classes):,} classes with the "
            "lowest recall."
        )
    return _section("Per-class results", _classes(predictions, source), words)


def _classes(predictions: Predictions, source: Source) -> str:
    counts = predictions.by_class()
    recall = counts.correct / np.maximum(counts.images, 1)
    trained = class_counts(source.training, len(source.classes))
    lines = []
    for number in np.argsort(recall, kind="stable")[:_MOST_CLASSES]:
        row = predictions.confusion_row(number)
        total, right = int(counts.images[number]), int(counts.correct[number])
        row[number] = 0
        taken_for = source.classes[row.argmax()] if row.any() else ""
        share = f"{right / total:.1%}" if total else "-"
        learned = "" if trained is None else f"{trained[number]:,}"
        lines.append(
            (
                source.classes[number],
                taken_for,
                learned,
                f"{total:,}",
                f"{right:,}",
                share,
            )
        )
    head = (
        "class",
        "most often confused with",
        "training images",
        "validation images",
        "correct",
        "recall",
    )
    return _table(head, lines, numbers=4)


def _mistakes(
    predictions: Predictions, classes: Sequence[str], names: Sequence[str]
) -> str:
    lines = [
        (
            names[number],
            classes[predictions.labels[number]],
            classes[predictions.top[number, 0]],
            f"{predictions.confidence[number]:.1%}",
        )
        for number in predictions.worst_mistakes()
    ]
    return _table(("image", "true", "predicted", "probability"), lines, numbers=1)


def _recipe(fields: Mapping[str, Any]) -> str:
    lines = []
    for name, value in fields.items():
        if isinstance(value, dict):
            lines += [
                (f"{name}.{inner}", _value(part)) for inner, part in value.items()
            ]
        else:
            lines.append((name, _value(value)))
    return _table(("field", "value"), lines, numbers=0)


def _value(value: object) -> str:
    """Returns a value as people write it."""
    if value is None or value == "":
        return "none" if value is None else "-"
    if isinstance(value, tuple):
        return ",".join(map(_value, value))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _history(rows: Sequence[Mapping[str, float]]) -> str:
    lines = [
        (
            f"{row['epoch']:.0f}",
            f"{row['loss']:.4f}",
            f"{row['accuracy']:.2%}",
            f"{row['val_loss']:.4f}",
            f"{row['val_accuracy']:.2%}",
            f"{row['learning_rate']:.2e}",
            f"{row['images_per_second']:,.0f}",
        )
        for row in rows
    ]
    head = (
        "epoch",
        "loss",
        "accuracy",
        "val loss",
        "val accuracy",
        "learning rate",
        "img/s",
    )
    return _table(head, lines, numbers=7)
