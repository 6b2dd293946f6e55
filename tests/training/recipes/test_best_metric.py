"""The column of history.csv that decides the best epoch."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from training.engine import finish, run, trainer
from training.evaluation import coco_metrics, number_metrics
from training.recipes.metric import METRICS
from training.recipes.table import resolve
from training.tasks import MULTI_LABEL, find_task
from training.workdir.checkpoints import TrainProgress
from training.workdir.history import HistoryFile
from training.workdir.layout import Workdir, identity

SMALLER_IS_BETTER = {"val_loss", "val_mae", "val_rmse"}


def columns(kind):
    return {metric.column for metric in METRICS[kind]}


def test_losses_and_errors_are_better_when_smaller_and_all_else_when_larger():
    for metrics in METRICS.values():
        for metric in metrics:
            assert metric.higher_is_better is (metric.column not in SMALLER_IS_BETTER)


def test_the_columns_are_those_of_the_tasks_evaluations():
    assert columns("detection") == {
        f"val_{prefix}{name}"
        for prefix in ("", "mask_")
        for name in coco_metrics.FIGURES
    }
    truth = np.eye(2, dtype=np.float32)
    rows = {"labels": truth, "probabilities": 0.5 * truth, "losses": truth[0]}
    figures = MULTI_LABEL.evaluate([rows], None).figures
    assert columns("labels") == {f"val_{name}" for name in figures}
    rows = {"labels": truth[0], "numbers": truth[1]}
    found = number_metrics.gathered([rows], number_metrics.Standard(0.0, 1.0)).figures()
    assert columns("number") == {f"val_{name}" for name in found}


@pytest.mark.parametrize(
    ("column", "score"), [("none", 0.25), ("val_loss", -1.5), ("val_top5", 0.75)]
)
def test_an_epoch_is_scored_by_the_metric_that_the_recipe_names(column, score):
    task = find_task(resolve("demo", [f"best_metric={column}"]))
    here = SimpleNamespace(task=task, progress=TrainProgress())
    figures = {"loss": 1.5, "accuracy": 0.25, "top5": 0.75}
    run.Run.finish_epoch(here, SimpleNamespace(figures=figures))
    assert here.progress.score == score


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        ("demo", ["best_metric=accuracy"]),
        ("demo", ["best_metric=val_map"]),
        ("demo", ["target=number", "best_metric=val_loss"]),
        ("finetune_segment_small", ["best_metric=val_accuracy"]),
    ],
)
def test_columns_without_a_known_direction_are_refused(recipe, changes):
    with pytest.raises(ValueError, match="best_metric is"):
        resolve(recipe, changes)


@pytest.mark.slow
def test_a_run_keeps_the_epoch_with_the_smallest_loss(
    tmp_path, tiny_recipe, tiny_source, one_device
):
    recipe = dataclasses.replace(
        tiny_recipe, epochs=4, peak_lr=0.05, keep="best", best_metric="val_loss"
    )
    workdir = Workdir(tmp_path)
    workdir.claim(identity(recipe, "bars"))
    begun = trainer.prepare(recipe, tiny_source, workdir, one_device)
    history = HistoryFile(begun.workdir.history)
    trainer.train(begun, [history])
    assert columns("label") <= set(history.rows[0])
    losses = [row["val_loss"] for row in history.rows]
    metrics = finish.leave(begun, history.rows)
    assert metrics["kept_epoch"] == metrics["best_epoch"] == 1 + np.argmin(losses)
    assert metrics["best_loss"] == min(losses)
    assert metrics["loss"] == pytest.approx(min(losses), rel=1e-4)
