"""Batches of tf.data under JAX, on one device, on several and in several processes."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jax")

import jax
from jax.sharding import Mesh

from tests.checks import write_arrays
from tests.training.ended_early import end_after_saving
from tests.training.engine.workers import wait_for_a_checkpoint
from training.engine import distribution
from training.engine.cluster import ALONE, Cluster, read_jax
from training.jax_engine import devices, stream

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
STEPS_PROGRAM = "tests.training.jax_engine.twenty_steps"
KILLS = 5
PATIENCE_SECONDS = 600


def twenty_steps(file, stochastic_depth_rate, devices=1, backend="jax"):
    arguments = [str(file), str(stochastic_depth_rate), str(devices)]
    done = subprocess.run(
        [sys.executable, "-m", STEPS_PROGRAM, *arguments],
        capture_output=True,
        text=True,
        env={**ENVIRONMENT, "KERAS_BACKEND": backend},
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(np.load(file))


def largest_difference(found, expected):
    assert sorted(found) == sorted(expected)
    return max(np.abs(found[name] - expected[name]).max() for name in expected)


@pytest.mark.slow
def test_twenty_steps_are_those_of_the_tensorflow_engine(tmp_path):
    # Crops, flips, mixup, accumulation, layer decay, frozen epochs, EMA, clipping.
    ours = twenty_steps(tmp_path / "jax.npz", 0)
    theirs = twenty_steps(tmp_path / "tf.npz", 0, backend="tensorflow")
    # Measured: 1.2e-6, of float32's rounding over twenty steps.
    assert largest_difference(ours, theirs) < 1e-5
    assert np.ptp(ours["losses"]) > 0.1


@pytest.mark.slow
def test_four_devices_come_to_the_weights_of_one(tmp_path):
    # With stochastic depth: what is drawn does not depend on the devices.
    one = twenty_steps(tmp_path / "one.npz", 0.2)
    four = twenty_steps(tmp_path / "four.npz", 0.2, devices=4)
    assert largest_difference(four, one) < 1e-6
    without = twenty_steps(tmp_path / "without.npz", 0)
    assert largest_difference(one, without) > 1e-3


def command(data, workdir, *changes):
    return [
        *(sys.executable, "-m", "training.main", f"--data=array:{data}"),
        *(f"--workdir={workdir}", "--recipe=scratch_small", "--set=size_px=16"),
        *("--set=variant=test_convnext2", "--set=stochastic_depth_rate=0.2"),
        *("--set=ema_decay=0.9", "--set=global_batch=8", "--set=keep_checkpoints=3"),
        *("--set=augmentation.crop_scale=0.5,1", "--set=augmentation.mixup=0.8"),
        *("--set=warmup_epochs=1", *changes),
    ]


def final_weights(workdir):
    newest = max((workdir / "checkpoints").glob("*.ckpt"))
    with np.load(newest) as arrays:
        names = [name for name in arrays.files if not name.endswith(".json")]
        assert len(names) > 100
        return newest.name, {name: arrays[name] for name in names}


def ran(arguments, **more):
    done = subprocess.run(
        arguments,
        capture_output=True,
        text=True,
        env={**ENVIRONMENT, **more},
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def assert_same(workdir, other):
    (step, weights), (other_step, expected) = map(final_weights, (workdir, other))
    assert step == other_step
    assert sorted(weights) == sorted(expected)
    for name in expected:
        np.testing.assert_array_equal(weights[name], expected[name], err_msg=name)


@pytest.mark.slow
def test_a_killed_run_ends_as_one_that_never_was(tmp_path):
    data = write_arrays(tmp_path / "data.npz")
    changes = ("--set=epochs=12", "--set=steps_per_call=2")
    ran(command(data, tmp_path / "whole", *changes))
    moments = random.Random(0)
    killed = tmp_path / "killed"
    arguments = command(data, killed, *changes)
    for _ in range(KILLS):
        status = end_after_saving(
            arguments, killed, signal.SIGKILL, moments.random(), ENVIRONMENT
        )
        assert status == -signal.SIGKILL
    # And once within an epoch, with a checkpoint there.
    end_after_saving(arguments, killed, signal.SIGTERM, 0.1, ENVIRONMENT)
    ran(arguments)
    assert_same(killed, tmp_path / "whole")


_MIXING = ("mixup", "cutmix")


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def start_two(arguments):
    address = f"127.0.0.1:{free_port()}"
    return [
        subprocess.Popen(
            arguments,
            cwd=ROOT,
            env={
                **ENVIRONMENT,
                "JAX_COORDINATOR_ADDRESS": address,
                "JAX_NUM_PROCESSES": "2",
                "JAX_PROCESS_ID": str(number),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]


@pytest.mark.slow
def test_two_processes_come_to_the_weights_of_one(tmp_path):
    data = write_arrays(tmp_path / "data.npz")
    # Each process mixes images of its own.
    changes = ("--set=epochs=5", *(f"--set=augmentation.{kind}=0" for kind in _MIXING))
    ran(command(data, tmp_path / "one", *changes))
    processes = start_two(command(data, tmp_path / "two", *changes))
    said = [process.communicate(timeout=PATIENCE_SECONDS) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert "in each of 2 processes" in said[0][0]
    # The chief alone speaks, but for the library that connects them.
    assert all(line.startswith("[Gloo]") for line in said[1][0].splitlines())
    (step, one), (other_step, two) = (
        final_weights(tmp_path / name) for name in ("one", "two")
    )
    assert step == other_step
    for name in one:
        np.testing.assert_allclose(two[name], one[name], atol=1e-6, err_msg=name)
    metrics = [
        json.loads((tmp_path / name / "metrics.json").read_text())["loss"]
        for name in ("one", "two")
    ]
    assert metrics[0] == pytest.approx(metrics[1], abs=1e-5)


@pytest.mark.slow
def test_the_first_says_in_a_line_that_another_is_gone(tmp_path):
    data = write_arrays(tmp_path / "data.npz")
    run = tmp_path / "run"
    left, killed = start_two(command(data, run, "--set=epochs=100000"))
    wait_for_a_checkpoint(run, (left, killed))
    killed.kill()
    killed.communicate()
    _, stderr = left.communicate(timeout=60)
    assert left.returncode == 75, stderr[-3000:]
    *_, told = stderr.splitlines()
    assert told.startswith("train: error: another of the 2 workers is gone or cannot")
    assert told.endswith("they resume from the newest checkpoint")
    assert "Traceback" not in stderr


@pytest.mark.slow
def test_the_others_are_aborted_by_jax_where_the_first_is_gone(tmp_path):
    data = write_arrays(tmp_path / "data.npz")
    run = tmp_path / "run"
    killed, left = start_two(command(data, run, "--set=epochs=100000"))
    wait_for_a_checkpoint(run, (killed, left))
    killed.kill()
    killed.communicate()
    left.communicate(timeout=200)
    assert left.returncode == -signal.SIGABRT


def test_batches_come_in_order_and_end():
    got = list(stream.ahead(iter(range(20)), lambda number: 2 * number))
    assert got == list(range(0, 40, 2))


def test_an_error_of_the_pipeline_is_raised_where_its_batch_is_asked_for():
    def batches():
        yield 1
        yield 2
        raise OSError("no such image")

    found = []
    with pytest.raises(OSError, match="no such image"):
        found.extend(stream.ahead(batches(), lambda number: number))
    assert found == [1, 2]


def test_few_batches_are_made_ahead_and_none_after_the_last_is_taken():
    made = []

    def batches():
        while True:
            made.append(len(made))
            yield made[-1]

    ahead = stream.ahead(batches(), lambda number: number)
    assert [next(ahead) for _ in range(3)] == [0, 1, 2]
    ahead.close()
    assert len(made) <= 3 + 4
    assert "batches" not in {thread.name for thread in threading.enumerate()}


def test_rows_of_a_batch_are_those_that_were_given():
    spread = devices.Spread(Mesh(np.array(jax.devices("cpu")[:1]), ("batch",)))
    batch = {"image": np.arange(6).reshape(3, 2), "label": np.arange(3)}
    placed = spread.spread(batch)
    for name, rows in batch.items():
        np.testing.assert_array_equal(placed[name], rows)
    assert spread.count == 1
    assert spread.describe() == "JAX on 1 cpu"
    assert spread.any_worker(True)
    assert not spread.any_worker(False)


def test_a_gpu_that_is_not_there_is_a_mistake(monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda *_: jax.local_devices(backend="cpu"))
    with pytest.raises(ValueError, match="asks for GPU 7, but JAX sees 0"):
        devices.open_devices(distribution.parse("gpu:7"))


def test_several_processes_take_the_devices_they_see():
    with pytest.raises(ValueError, match="leave --devices out"):
        devices.open_devices(distribution.parse("cpu:2"), Cluster(0, 2), "127.0.0.1:1")


NAMES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
TWO = {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (ALONE, None)),
        (dict(zip(NAMES, ("h:1", "2", "1"), strict=True)), (Cluster(1, 2), "h:1")),
        (dict(zip(NAMES, ("h:1", "1", "0"), strict=True)), (ALONE, None)),
        ({"TF_CONFIG": json.dumps(TWO)}, (Cluster(1, 2), "a:1")),
    ],
)
def test_processes_are_those_that_the_environment_names(environment, expected):
    assert read_jax(environment) == expected


@pytest.mark.parametrize(
    "values", [("h:1", "", ""), ("", "2", "0"), ("h", "2", "0"), ("h:1", "2", "2")]
)
def test_half_a_cluster_is_a_mistake(values):
    with pytest.raises(ValueError, match="JAX_NUM_PROCESSES, JAX_PROCESS_ID must"):
        read_jax(dict(zip(NAMES, values, strict=True)))


def test_what_is_compiled_is_kept_unless_a_variable_of_jax_says_more(monkeypatch):
    found = {}
    monkeypatch.setattr(jax.config, "update", found.__setitem__)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    devices._keep_compiled({})
    (folder,) = found.values()
    assert folder.startswith("/somewhere/keras_convnext/jax/")
    found.clear()
    devices._keep_compiled({"JAX_ENABLE_COMPILATION_CACHE": "false"})
    devices._keep_compiled({"JAX_COMPILATION_CACHE_DIR": "/elsewhere"})
    assert not found
