"""Several processes: who is who, and that two do what one does."""

import json
import re
import socket

import numpy as np
import pytest

from tests.checks import write_arrays
from tests.training.engine.workers import (
    finish,
    newest,
    start,
    wait_for_a_checkpoint,
)
from training.engine import cluster, distribution
from training.engine.cluster import Cluster
from training.engine.distribution import Devices

WORKERS = {"worker": ["a:1", "b:1", "c:1"]}
WITH_CHIEF = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}


@pytest.mark.parametrize(
    ("jobs", "kind", "index", "expected"),
    [
        (WORKERS, "worker", 0, Cluster(0, 3)),
        (WORKERS, "worker", 2, Cluster(2, 3)),
        (WITH_CHIEF, "chief", 0, Cluster(0, 3)),
        (WITH_CHIEF, "worker", 1, Cluster(2, 3)),
    ],
)
def test_tf_config_says_which_worker_this_is(jobs, kind, index, expected):
    text = json.dumps({"cluster": jobs, "task": {"type": kind, "index": index}})
    assert cluster.read({"TF_CONFIG": text}) == expected
    assert expected.is_chief == (expected.worker == 0)


def test_without_tf_config_there_is_one_process():
    assert cluster.read({}) == Cluster(0, 1)


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        "{}",
        json.dumps({"cluster": WORKERS}),
        json.dumps({"cluster": WORKERS, "task": {"type": "worker", "index": 3}}),
        json.dumps({"cluster": WORKERS, "task": {"type": "ps", "index": 0}}),
    ],
)
def test_a_tf_config_that_names_no_worker_is_refused(text):
    with pytest.raises(ValueError, match="TF_CONFIG must name the workers") as raised:
        cluster.read({"TF_CONFIG": text})
    assert repr(text) in str(raised.value)


def test_devices_are_not_chosen_with_several_workers():
    with pytest.raises(ValueError, match="leave --devices out"):
        distribution.make_strategy(Devices("cpu", count=2), Cluster(0, 2))


def free_addresses(count):
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    addresses = [f"localhost:{held.getsockname()[1]}" for held in sockets]
    for held in sockets:
        held.close()
    return addresses


@pytest.fixture
def data(tmp_path):
    return write_arrays(tmp_path / "data.npz", train=40, test=11)


def start_two(data, workdir, *more):
    jobs = {"worker": free_addresses(2)}
    return [
        start(
            data,
            workdir,
            {"cluster": jobs, "task": {"type": "worker", "index": index}},
            *more,
        )
        for index in range(2)
    ]


@pytest.mark.slow
def test_two_worker_processes_do_what_one_process_does(tmp_path, data):
    finish([start(data, tmp_path / "one", None)])
    outputs = finish(start_two(data, tmp_path / "two"))
    # The chief speaks for both.
    assert outputs[0][0].startswith("1 CPU in each of 2 workers, float32, batch 8")
    assert "validation accuracy" in outputs[0][0]
    assert outputs[1] == ("", "")

    one, two = newest(tmp_path / "one"), newest(tmp_path / "two")
    assert one.keys() == two.keys()
    for name, array in one.items():
        # 20 steps; the sums over the batch are taken in another order.
        np.testing.assert_allclose(two[name], array, atol=1e-6, err_msg=name)
    figures = [
        json.loads((tmp_path / run / "metrics.json").read_text())
        for run in ("one", "two")
    ]
    assert figures[0]["top1"] == figures[1]["top1"]
    # float32 means of eleven numbers of about 1.
    assert figures[0]["loss"] == pytest.approx(figures[1]["loss"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1], ids=["the chief", "the other"])
def test_who_is_left_says_in_a_line_that_another_is_gone(tmp_path, data, killed):
    processes = start_two(data, tmp_path / "run", "--set=epochs=100000")
    wait_for_a_checkpoint(tmp_path / "run", processes)
    processes[killed].kill()
    left = processes[1 - killed]
    _, stderr = left.communicate(timeout=300)
    processes[killed].communicate()
    assert left.returncode == 75
    *_, told = stderr.splitlines()
    assert told.startswith("train: error: another of the 2 workers is gone or cannot")
    assert told.endswith("they resume from the newest checkpoint")


@pytest.mark.slow
def test_a_signal_to_one_worker_stops_all_after_the_same_step(tmp_path, data):
    processes = start_two(data, tmp_path / "run", "--set=epochs=100000")
    wait_for_a_checkpoint(tmp_path / "run", processes)
    processes[1].terminate()
    outputs = [process.communicate(timeout=300) for process in processes]
    # The second was told to by SIGTERM, the chief by the second.
    assert [process.returncode for process in processes] == [130, 143]
    told = [stderr.splitlines()[-1] for _, stderr in outputs]
    assert told[0] == told[1]
    [step] = re.findall(r"stopped after step (\d+) ", told[0])
    newest = max((tmp_path / "run" / "checkpoints").glob("*.ckpt"))
    assert newest.name == f"step-{int(step):09d}.ckpt"
