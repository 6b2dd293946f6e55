"""Cross-validation: the runs of all folds, and what they say of images unseen."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_convnext import _files, _page
from keras_convnext._messages import CommandError, checked, say

from ..data import folds
from ..data.source import Source
from ..evaluation import label_errors, ordered_metrics
from ..evaluation.metrics import Predictions, predictions_from_probabilities
from ..recipes.metric import Metric
from ..report import plots
from . import outputs, train
from .plan import PlannedRun, load_data

SUMMARY, PREDICTIONS = "cross_validation.json", "out_of_sample.npz"
LABEL_ERRORS = "label_errors.csv"
# In the page; the file has all.
_MOST_SUSPECTED = 50
# Floats of metrics.json that do not tell how good a model is.
_NOT_MEASURED = ("train_seconds",)
_CHOSEN = "best_"

Joined = dict[str, np.ndarray]


def settings(count: int) -> list[tuple[str, ...]]:
    """Returns what the run of each fold has of its own, as `--set` takes it."""
    return [(f"folds={count}", f"fold={fold}") for fold in range(1, count + 1)]


def load_whole(planned: Sequence[PlannedRun], chosen: Any) -> Source:
    """Returns the data as they are before they are divided into folds.

    Args:
        planned: The runs of all folds.
        chosen: The command's flags.

    Raises:
        UsageError: They cannot be used, or not be divided so.
    """
    recipe = replace(planned[0].recipe, folds=None, fold=None)
    source = load_data(recipe, chosen.data, chosen.skip_bad_images)
    checked(folds.take_fold, source, len(planned), 1, recipe.seed)
    return source


def predict(planned: Sequence[PlannedRun], source: Source, chosen: Any) -> Joined:
    """Returns what each image's own run says of it: the one not trained on it.

    Args:
        planned: The finished runs, in the order of the folds.
        source: From `load_whole`.
        chosen: The command's flags.

    Returns:
        "paths", "labels", "probabilities", "classes" as embed_main has them, and
        "fold", from 1. Files come in the order of their names, arrays as they are, the
        training images before the others.
    """
    labels, names = folds.whole(source)
    of_image = folds.assign(labels, len(planned), planned[0].recipe.seed)
    rows = {"labels": labels.astype(np.int32), "fold": of_image + 1}
    probabilities = np.zeros((len(labels), len(source.classes)), np.float32)
    for number, run in enumerate(planned):
        found = _in_order(_ask(run, chosen), source.classes)
        mine = of_image == number
        if not np.array_equal(found["labels"], labels[mine]):
            raise CommandError(
                f"the images of {run.workdir.path} are not those that it was trained "
                "with any more; remove the folder and start again"
            )
        probabilities[mine] = found["probabilities"]
    paths = np.array(names or [""] * len(labels), np.str_)
    classes = np.array(source.classes, np.str_)
    return {"paths": paths, **rows, "probabilities": probabilities, "classes": classes}


def _ask(run: PlannedRun, chosen: Any) -> Joined:
    """Returns what a run says of its validation images, asking it once alone."""
    out = run.workdir.path / PREDICTIONS
    if not out.exists():
        say(f"asking {run.name}")
        flags = [f"--model={run.workdir.path}", f"--data={chosen.data}", f"--out={out}"]
        flags += ["--skip_bad_images"] if chosen.skip_bad_images else []
        flags.append("--split=validation")
        if train.run_command("embed_main", flags, run.log):
            raise CommandError(f"{run.name}: {train.last_line(run.log)}")
    with np.load(out) as file:
        return dict(file)


def _in_order(found: Joined, classes: Sequence[str]) -> Joined:
    """Returns labels and probabilities by these numbers of the classes."""
    numbers = np.array([classes.index(name) for name in found["classes"]])
    probabilities = np.empty_like(found["probabilities"])
    probabilities[:, numbers] = found["probabilities"]
    return {"labels": numbers[found["labels"]], "probabilities": probabilities}


def summarize(planned: Sequence[PlannedRun], joined: Joined) -> dict[str, Any]:
    """Returns each metric's values over the folds, their mean and deviation.

    The deviation is that of a sample, with n - 1 below. "all_images" has the figures
    of all images together, each as its own run answers.
    """
    found = [run.workdir.finished() or {} for run in planned]
    names = [
        name
        for name, value in found[0].items()
        if isinstance(value, float)
        and name not in _NOT_MEASURED
        and not name.startswith(_CHOSEN)
    ]
    predictions = _predictions(joined)
    is_ordered = planned[0].recipe.target == "ordered"
    off = ordered_metrics.figures_of(predictions) if is_ordered else {}
    return {
        "folds": len(planned),
        "images": len(joined["labels"]),
        "metrics": {
            name: _spread([metrics[name] for metrics in found]) for name in names
        },
        "all_images": {
            "top1": predictions.top1,
            "loss": predictions.loss,
            "calibration_error": predictions.calibration_error(),
            **off,
        },
    }


def _predictions(joined: Joined) -> Predictions:
    return predictions_from_probabilities(joined["labels"], joined["probabilities"])


def _spread(values: Sequence[float]) -> dict[str, Any]:
    return {
        "mean": statistics.fmean(values),
        "standard_deviation": statistics.stdev(values),
        "values": list(values),
    }


def write(
    folder: Path,
    summary: Mapping[str, Any],
    joined: Joined,
    suspected: Sequence[tuple[str, ...]],
) -> None:
    """Writes the summary, the probabilities of all images and suspected labels."""
    label_errors.write(folder / LABEL_ERRORS, suspected)
    with _files.replacing(folder / PREDICTIONS) as file:
        np.savez_compressed(file, **joined)  # type: ignore[arg-type]
    _files.write_json(folder / SUMMARY, summary)


def say_summary(summary: Mapping[str, Any]) -> None:
    """Prints a line for each metric."""
    longest = max(map(len, summary["metrics"]))
    say(f"{'':<{longest}}      mean  deviation")
    for name, values in summary["metrics"].items():
        mean, deviation = values["mean"], values["standard_deviation"]
        say(f"{name:<{longest}}  {mean:8.4f}   {deviation:8.4f}")


def write_page(
    folder: Path,
    title: str,
    rows: Sequence[outputs.Row],
    summary: Mapping[str, Any],
    joined: Joined,
    suspected: Sequence[tuple[str, ...]],
    metric: Metric,
) -> Path:
    """Writes report.html and returns its path.

    Args:
        folder: Of the cross-validation.
        title: Heading of the page.
        rows: From `outputs.collect`.
        summary: From `summarize`.
        joined: From `predict`.
        suspected: From `suspect_labels`.
        metric: The task's.
    """
    reached = summary["metrics"][metric.name]
    deviation = metric.show(reached["standard_deviation"])
    words = (
        f"{summary['folds']} folds of {summary['images']:,} images: validation "
        f"{metric.words} {metric.show(reached['mean'])} on average, standard deviation "
        f"{deviation}."
    )
    sections = [_metrics_section(summary)]
    classes = joined["classes"].tolist()
    if len(classes) <= plots.MOST_CONFUSION_CLASSES:
        drawn = plots.confusion(_predictions(joined).confusion(), classes)
        sections.append(
            _page.section(
                "Confusion matrix",
                _page.image("Confusion matrix", drawn),
                "Of all images, each by the run that was not trained on it. Rows are "
                "true labels, columns are predicted labels.",
            )
        )
    if suspected:
        sections.append(_suspected_section(suspected))
    sections += [outputs.runs_section(rows, metric), outputs.curves(rows, metric)]
    return outputs.write_page(folder, title, words, sections)


def suspect_labels(joined: Joined) -> list[tuple[str, str, str, str]]:
    """Returns a row for each image whose label is probably wrong, the surest first.

    Images without a name have their number.
    """
    found = label_errors.find(joined["labels"], joined["probabilities"])
    classes, names = joined["classes"].tolist(), joined["paths"].tolist()
    return label_errors.rows(found, _predictions(joined), classes, names)


def _suspected_section(suspected: Sequence[tuple[str, ...]]) -> str:
    shown = suspected[:_MOST_SUSPECTED]
    words = (
        f"{len(suspected):,} images that probably belong to another class, by the run "
        "that was not trained on them (confident learning). Look at them: some may be "
        "hard alone."
    )
    if len(shown) < len(suspected):
        words += f" The surest {len(shown)}; {LABEL_ERRORS} has all."
    table = _page.table(label_errors.HEAD, shown, numbers=1)
    return _page.section("Suspected label errors", table, words)


def _metrics_section(summary: Mapping[str, Any]) -> str:
    folds_head = [f"fold {number + 1}" for number in range(summary["folds"])]
    lines = [
        (
            name,
            *(
                f"{value:.4f}"
                for value in (
                    values["mean"],
                    values["standard_deviation"],
                    *values["values"],
                )
            ),
        )
        for name, values in summary["metrics"].items()
    ]
    head = ("", "mean", "standard deviation", *folds_head)
    return _page.section("Metrics", _page.table(head, lines, numbers=len(head) - 1))
