"""A disk that is really full: a small one, in a name space of the test's own."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.checks import write_arrays

ROOT = Path(__file__).resolve().parents[3]
# Two checkpoints of 5.7 MB fit, and beside them neither a third nor a model of 1.5 MB.
SMALL, LARGE = "12m", "64m"
IN_A_NAME_SPACE = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")


def can_mount(folder):
    """Whether this machine lets anybody mount a file system of their own."""
    if shutil.which("unshare") is None:
        return False
    command = [*IN_A_NAME_SPACE, f"mount -t tmpfs -o size=1m tmpfs {folder}"]
    return subprocess.run(command, capture_output=True).returncode == 0


def command(data, workdir):
    return [
        *(sys.executable, "-m", "training.main", "--recipe=scratch_small"),
        *(f"--data=array:{data}", f"--workdir={workdir}", "--devices=cpu"),
        *("--set=variant=test_convnext2", "--set=size_px=16", "--set=global_batch=8"),
        *("--set=epochs=4", "--set=warmup_epochs=1", "--set=ema_decay=0.9"),
    ]


def newest(folder):
    with np.load(max(folder.glob("*.ckpt"))) as arrays:
        return {name: arrays[name] for name in arrays.files if name != "position.json"}


@pytest.fixture
def data(tmp_path):
    return write_arrays(tmp_path / "data.npz")


@pytest.fixture
def small(tmp_path):
    """Where a small disk can be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    if not can_mount(folder):
        pytest.skip("no file system can be mounted here")
    return folder


@pytest.mark.slow
def test_a_full_disk_loses_no_checkpoint_and_the_run_goes_on(tmp_path, data, small):
    train = " ".join(map(str, command(data, small / "run")))
    script = f"""
        mount -t tmpfs -o size={SMALL} tmpfs {small}
        {train} 2> {tmp_path}/error; echo $? > {tmp_path}/code
        ls {small}/run/checkpoints > {tmp_path}/kept
        mount -o remount,size={LARGE} {small}
        {train} > {tmp_path}/second; echo $? >> {tmp_path}/code
        cp -r {small}/run {tmp_path}/run
    """
    subprocess.run([*IN_A_NAME_SPACE, script], cwd=ROOT, check=True)
    assert (tmp_path / "code").read_text().split() == ["2", "0"]
    told = (tmp_path / "error").read_text().splitlines()[-1]
    kept = (tmp_path / "kept").read_text().split()
    assert kept == ["step-000000004.ckpt", "step-000000008.ckpt"]
    assert "step-000000012.ckpt (No space left on device)" in told
    assert told.endswith(f"resume from {small}/run/checkpoints/{kept[1]}")
    assert "resuming after step 8 (epoch 3)" in (tmp_path / "second").read_text()

    whole = tmp_path / "whole"
    subprocess.run(command(data, whole), cwd=ROOT, check=True, capture_output=True)
    expected = newest(whole / "checkpoints")
    actual = newest(tmp_path / "run" / "checkpoints")
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(actual[name], array, err_msg=name)


@pytest.mark.slow
def test_a_disk_that_is_full_at_the_end_is_a_line_too(tmp_path, data, small):
    arguments = [*command(data, small / "run"), "--set=epochs=2"]
    script = f"""
        mount -t tmpfs -o size={SMALL} tmpfs {small}
        {" ".join(map(str, arguments))} 2> {tmp_path}/error; echo $? > {tmp_path}/code
        ls {small}/run {small}/run/checkpoints > {tmp_path}/kept
    """
    subprocess.run([*IN_A_NAME_SPACE, script], cwd=ROOT, check=True)
    assert (tmp_path / "code").read_text() == "2\n"
    *_, told = (tmp_path / "error").read_text().splitlines()
    assert f"cannot write {small}/run/model.keras (No space left on device)" in told
    kept = (tmp_path / "kept").read_text().split()
    assert {"step-000000004.ckpt", "step-000000008.ckpt"} < set(kept)
    assert "metrics.json" not in kept
    assert "model.keras" not in kept
