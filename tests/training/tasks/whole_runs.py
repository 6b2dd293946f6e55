"""Runs of a task: whole, and in two parts that come to the same."""

import os
import signal

import keras
import numpy as np
import pytest

from keras_convnext._messages import Interrupted
from training.engine import trainer
from training.workdir.history import HistoryFile
from training.workdir.layout import Workdir, identity


def train(recipe, source, folder, strategy, *callbacks):
    """Returns the finished run and the rows of its history."""
    workdir = Workdir(folder)
    workdir.claim(identity(recipe, "shapes"))
    run = trainer.prepare(recipe, source, workdir, strategy)
    history = HistoryFile(workdir.history, run.progress.epoch)
    trainer.train(run, [history, *callbacks])
    return run, history.rows


def check_resume(whole, recipe, source, folder, strategy):
    """Makes sure that a run which is stopped and resumed ends as the whole one."""
    stop = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: (
            os.kill(os.getpid(), signal.SIGTERM) if batch == 1 else None
        )
    )
    with pytest.raises(Interrupted, match="stopped after step 2 "):
        train(recipe, source, folder, strategy, stop)
    again, _ = train(recipe, source, folder, strategy)
    expected = whole.checkpoints.variables
    for name, variable in again.checkpoints.variables.items():
        np.testing.assert_array_equal(variable, expected[name], err_msg=name)
