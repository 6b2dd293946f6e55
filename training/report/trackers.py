"""Sends a run's figures to Weights & Biases and MLflow, by their own packages.

A run has the same entry there after it was resumed: tracking.json in its workdir says
which. Where figures go, and as whom, is said by each package's own environment
variables: WANDB_MODE, WANDB_PROJECT, MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from keras_convnext import _files
from keras_convnext._messages import UsageError, say

from ..recipes.overrides import flatten
from ..workdir.layout import Workdir

PROJECT = "keras_convnext"
FILE = "tracking.json"
# MLflow takes longer ones for a mistake.
_LONGEST_VALUE = 500


class WeightsAndBiases(keras.callbacks.Callback):
    """Sends the figures of every epoch to Weights & Biases.

    Args:
        workdir: The run's; offline files go to its folder `wandb`.

    Raises:
        UsageError: The run cannot be opened there.
    """

    def __init__(self, workdir: Workdir) -> None:
        super().__init__()
        import wandb

        stored = _read(workdir).get("wandb")
        try:
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT") or PROJECT,
                name=workdir.path.absolute().name,
                dir=os.environ.get("WANDB_DIR") or str(workdir.path),
                config=workdir.stored(),
                id=stored,
                resume="allow",
                settings=wandb.Settings(silent=True, console="off"),
            )
        # It raises what its service and the network raise.
        except Exception as error:
            raise UsageError(_refusal("wandb", error)) from error
        _write(workdir, "wandb", self._run.id)
        folder = Path(self._run.dir).parent
        place = self._run.url or f"{folder}, to be sent by wandb sync"
        say(f"Weights & Biases: {place}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._run.log(dict(logs or {}), step=epoch + 1)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._run.finish()


class MLflow(keras.callbacks.Callback):
    """Sends the figures of every epoch to MLflow.

    Args:
        workdir: The run's.

    Raises:
        UsageError: The run cannot be opened there.
    """

    def __init__(self, workdir: Workdir) -> None:
        super().__init__()
        import mlflow

        self._mlflow = mlflow
        stored = _read(workdir).get("mlflow")
        try:
            self._client = mlflow.MlflowClient()
            self._id = stored or self._begin(workdir)
            self._client.update_run(self._id, status="RUNNING")
            experiment = self._client.get_run(self._id).info.experiment_id
        # It raises what its store and the network raise.
        except Exception as error:
            raise UsageError(_refusal("mlflow", error)) from error
        _write(workdir, "mlflow", self._id)
        place = f"run {self._id} of experiment {experiment}"
        say(f"MLflow: {place} in {mlflow.get_tracking_uri()}")

    def _begin(self, workdir: Workdir) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
        found = self._client.get_experiment_by_name(name)
        experiment = (
            self._client.create_experiment(name)
            if found is None
            else found.experiment_id
        )
        run = self._client.create_run(experiment, run_name=workdir.path.absolute().name)
        params = [
            self._mlflow.entities.Param(name, str(value)[:_LONGEST_VALUE])
            for name, value in flatten(workdir.stored() or {}).items()
        ]
        self._client.log_batch(run.info.run_id, params=params)
        return str(run.info.run_id)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        now = self._mlflow.utils.time.get_current_time_millis()
        metrics = [
            self._mlflow.entities.Metric(name, float(value), now, epoch + 1)
            for name, value in (logs or {}).items()
        ]
        self._client.log_batch(self._id, metrics=metrics)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._client.set_terminated(self._id)


TRACKERS: dict[str, Callable[[Workdir], keras.callbacks.Callback]] = {
    "wandb": WeightsAndBiases,
    "mlflow": MLflow,
}


def parse(text: str) -> list[str]:
    """Returns the trackers that `--log_to` names.

    Args:
        text: "wandb", "mlflow", or both, divided by a comma.

    Raises:
        ValueError: It names another one, or one whose package is not installed.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in TRACKERS:
            raise ValueError(
                f"--log_to takes {', '.join(TRACKERS)}, or several with commas between "
                f"them; got {name!r}. TensorBoard has a flag of its own, --tensorboard"
            )
        found = importlib.util.find_spec(name)
        # A folder of that name, which wandb leaves, is found, too.
        if found is None or found.origin is None:
            raise ValueError(
                f"--log_to={name} needs the package {name}: "
                f"pip install 'keras-convnext[{name}]'"
            )
    return names


def _refusal(name: str, error: Exception) -> str:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    return f"--log_to={name} cannot open the run: {reason}"


def _read(workdir: Workdir) -> dict[str, str]:
    """Returns what the run is called by each tracker."""
    try:
        found = json.loads(_place(workdir).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(workdir: Workdir, tracker: str, name: str) -> None:
    known = _read(workdir)
    if known.get(tracker) != name:
        _files.write_json(_place(workdir), {**known, tracker: name})


def _place(workdir: Workdir) -> Path:
    return workdir.path / FILE
