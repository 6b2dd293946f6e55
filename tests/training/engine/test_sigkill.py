"""A run that is killed again and again ends as one that never was."""

import json
import random
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.checks import write_arrays
from tests.training import detection_data, segmentation_data
from tests.training.ended_early import end_after_saving

ROOT = Path(__file__).resolve().parents[3]
KILLS = 20


def command(data, workdir, *changes):
    return [
        *(sys.executable, "-m", "training.main", f"--data={data}"),
        *(f"--workdir={workdir}", "--devices=cpu", "--set=variant=test_convnext2"),
        *("--set=stochastic_depth_rate=0.2", "--set=ema_decay=0.9"),
        *("--set=global_batch=8", "--set=keep_checkpoints=3"),
        *changes,
    ]


def classification(data, steps_per_call, workdir):
    return command(
        f"array:{data}",
        workdir,
        *("--recipe=scratch_small", "--set=size_px=16", "--set=epochs=300"),
        *("--set=augmentation.mixup=0.8", f"--set=steps_per_call={steps_per_call}"),
    )


def segmentation(data, workdir):
    return command(
        f"masks:{data}",
        workdir,
        *("--recipe=finetune_segment_small", "--set=weights=none"),
        *("--set=size_px=32", "--set=patch_size=2", "--set=head_channels=16"),
        # Of an epoch's three.
        *("--set=epochs=40", "--set=peak_lr=5e-3", "--set=steps_per_call=2"),
    )


def detection(data, workdir):
    return command(
        data,
        workdir,
        *("--recipe=finetune_detect_small", "--set=weights=none"),
        *("--set=size_px=32", "--set=pyramid_channels=16", "--set=head_units=16"),
        *("--set=training_proposals=20", "--set=sampled_boxes=16"),
        # Of an epoch's three.
        *("--set=epochs=30", "--set=peak_lr=5e-3", "--set=steps_per_call=2"),
    )


def newest(workdir):
    path = max((workdir / "checkpoints").glob("*.ckpt"))
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files if name != "position.json"}


def check_kills(folder, make_command, kills, metric):
    """Makes sure that a run which is killed again and again ends as one that is not."""
    whole, killed = folder / "whole", folder / "killed"
    subprocess.run(make_command(whole), cwd=ROOT, check=True, capture_output=True)
    moments = random.Random(0)
    arguments = make_command(killed)
    codes = [
        end_after_saving(arguments, killed, signal.SIGKILL, moments.uniform(0.0, 0.4))
        for _ in range(kills)
    ]
    assert codes == [-signal.SIGKILL] * kills
    subprocess.run(arguments, cwd=ROOT, check=True, capture_output=True)

    expected, actual = newest(whole), newest(killed)
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(actual[name], array, err_msg=name)
    figures = [
        json.loads((run / "metrics.json").read_text()) for run in (whole, killed)
    ]
    assert figures[0][metric] > 0
    for each in figures:
        del each["train_seconds"]
    assert figures[0] == figures[1]
    assert not [path for path in killed.rglob("*") if ".partial" in path.name]


@pytest.mark.slow
@pytest.mark.timeout(3600)  # 22 starts, each as long as the machine is busy
@pytest.mark.parametrize("steps_per_call", [1, 3])  # of an epoch's four
def test_twenty_kills_change_no_bit_of_the_result(tmp_path, steps_per_call):
    data = write_arrays(tmp_path / "data.npz")
    make_command = partial(classification, data, steps_per_call)
    check_kills(tmp_path, make_command, KILLS, "top1")


@pytest.mark.slow
@pytest.mark.timeout(3600)  # 7 starts
def test_five_kills_change_no_bit_of_a_segmentation(tmp_path):
    make_command = partial(
        segmentation, segmentation_data.write_shapes(tmp_path / "shapes")
    )
    check_kills(tmp_path, make_command, 5, "miou")


@pytest.mark.slow
@pytest.mark.timeout(3600)  # 7 starts
def test_five_kills_change_no_bit_of_a_detection(tmp_path):
    data = detection_data.write_shapes(tmp_path / "shapes")
    check_kills(tmp_path, partial(detection, data), 5, "ap")
