"""Several steps in one call."""

import os
import subprocess
import sys

import pytest

# Steps of a part of a second, and data that is always there.
ON_ONE_CORE = """
import os

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import tensorflow as tf
from training.engine.step_loop import make_step_loop


@tf.function
def train_step(images, labels):
    # Of the data, or it would be computed once, beforehand.
    factor = tf.eye(1000) * (1.0 + images[0])
    product = factor
    for _ in range(4):
        product = product @ factor
    figure = tf.reduce_max(product)
    return {"loss": figure, "correct": figure, "gradient_norm": figure}


strategy = tf.distribute.get_strategy()
data = tf.data.Dataset.from_tensors((tf.zeros(4), tf.zeros(4))).repeat()
batches = iter(strategy.experimental_distribute_dataset(data))
take = make_step_loop(train_step, strategy)
take(batches, tf.constant(1))
began = tf.timestamp()
waited = take(batches, tf.constant(8))["waited"].numpy()
seconds = float(tf.timestamp() - began)
# Other programs may hold the core while one of the batches is fetched.
print(sorted(waited)[len(waited) // 2] * len(waited) / seconds)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="only Linux binds a process to a core"
)
def test_on_one_core_the_steps_own_time_is_not_taken_for_waiting():
    answer = subprocess.run(
        [sys.executable, "-c", ON_ONE_CORE],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    # Next to nothing; before the step waited for the clock, nearly all of it.
    assert float(answer.stdout) < 0.3
