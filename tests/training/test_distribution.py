"""What `--devices` says, and that the machine has it."""

import pytest

from training import distribution
from training.distribution import Devices


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
