"""A run that is killed again and again ends as one that never was."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.checks import write_arrays

ROOT = Path(__file__).resolve().parents[3]
KILLS = 20
# How long the longest part before the first step may take on a busy machine.
PATIENCE_SECONDS = 300


def command(data, workdir, steps_per_call):
    return [
        *(sys.executable, "-m", "training.main", "--recipe=scratch_small"),
        *(f"--data=array:{data}", f"--workdir={workdir}", "--devices=cpu"),
        *("--set=variant=test_convnext2", "--set=size_px=16", "--set=global_batch=8"),
        *("--set=epochs=60", "--set=stochastic_depth_rate=0.2", "--set=ema_decay=0.9"),
        *("--set=augmentation.mixup=0.8", "--set=keep_checkpoints=3"),
        f"--set=steps_per_call={steps_per_call}",
    ]


def kill_at_a_random_moment(arguments, workdir, moments):
    """Starts the run, lets it save something, and kills it a little later."""
    checkpoints = workdir / "checkpoints"
    before = set(os.listdir(checkpoints)) if checkpoints.is_dir() else set()
    process = subprocess.Popen(
        arguments,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ends = time.monotonic() + PATIENCE_SECONDS
    # Also names that are still being written count: kills are to hit these too.
    while process.poll() is None and time.monotonic() < ends:
        if checkpoints.is_dir() and set(os.listdir(checkpoints)) - before:
            break
        time.sleep(0.002)
    time.sleep(moments.uniform(0.0, 0.4))
    process.send_signal(signal.SIGKILL)
    return process.wait()


def newest(workdir):
    path = max((workdir / "checkpoints").glob("*.ckpt"))
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files if name != "position.json"}


@pytest.mark.slow
@pytest.mark.timeout(3600)  # 22 starts, each as long as the machine is busy
@pytest.mark.parametrize("steps_per_call", [1, 3])  # of an epoch's four
def test_twenty_kills_change_no_bit_of_the_result(tmp_path, steps_per_call):
    data = write_arrays(tmp_path / "data.npz")
    whole, killed = tmp_path / "whole", tmp_path / "killed"

    def run_whole(workdir):
        arguments = command(data, workdir, steps_per_call)
        subprocess.run(arguments, cwd=ROOT, check=True, capture_output=True)

    run_whole(whole)
    moments = random.Random(0)
    arguments = command(data, killed, steps_per_call)
    codes = [kill_at_a_random_moment(arguments, killed, moments) for _ in range(KILLS)]
    assert codes.count(-signal.SIGKILL) >= KILLS // 2
    run_whole(killed)

    expected, actual = newest(whole), newest(killed)
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(actual[name], array, err_msg=name)
    figures = [
        json.loads((run / "metrics.json").read_text()) for run in (whole, killed)
    ]
    for name in ("top1", "loss", "steps", "epochs"):
        assert figures[0][name] == figures[1][name]
    assert not [path for path in killed.rglob("*") if ".partial" in path.name]
