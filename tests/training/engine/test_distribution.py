"""What `--devices` says, and that the machine has it."""

import pytest
import tensorflow as tf

from training.engine import distribution
from training.engine.cluster import Cluster
from training.engine.distribution import Devices


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("all", Devices("all")),
        ("cpu", Devices("cpu")),
        ("cpu:2", Devices("cpu", count=2)),
        ("gpu", Devices("gpu")),
        ("gpu:0", Devices("gpu", numbers=(0,))),
        ("GPU:0,3", Devices("gpu", numbers=(0, 3))),
    ],
)
def test_each_form_is_understood(text, devices):
    assert distribution.parse(text) == devices


@pytest.mark.parametrize(
    "text",
    ["", "two", "all:2", "cpu:", "cpu:0", "cpu:1,2", "gpu:a", "gpu:0,", "gpu:1,1"],
)
def test_anything_else_is_answered_with_the_forms(text):
    with pytest.raises(ValueError, match="--devices takes all, cpu, cpu:2") as raised:
        distribution.parse(text)
    assert repr(text) in str(raised.value)


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"asks for GPU 97, but TensorFlow sees \d+"):
        distribution.make_strategy(Devices("gpu", numbers=(97,)))


def test_one_processor_makes_a_mirrored_strategy_of_one():
    strategy = distribution.make_strategy(Devices("cpu"))
    assert strategy.num_replicas_in_sync == 1
    assert distribution.describe(strategy) == "1 CPU"


def lost(message, workers):
    with distribution.explain_lost_workers(Cluster(0, workers)):
        raise tf.errors.UnavailableError(None, None, message)


def test_a_worker_that_is_gone_is_a_line_on_the_others():
    message = "{{node x}} Collective ops is aborted by: Socket closed\nMore."
    with pytest.raises(
        distribution.LostWorkerError,
        match=r"of the 3 workers is gone .*\(Socket closed\)",
    ):
        lost(message, workers=3)


def test_other_errors_of_a_cluster_are_not_hidden():
    with pytest.raises(tf.errors.UnavailableError):
        lost("the disk is unavailable", workers=3)
    with pytest.raises(tf.errors.UnavailableError):
        lost("Collective ops is aborted by: something", workers=1)
