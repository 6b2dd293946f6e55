"""Runs whose workdir is a URL, killed again and again: whole there at any moment."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import numpy as np
import pytest

from tests.checks import write_arrays
from training.workdir.remote import Mirror, open_workdir

pytestmark = pytest.mark.usefixtures("cache")
ROOT = Path(__file__).resolve().parents[3]
KILLS = {"file": 5, "s3": 20}
EPOCHS = 30
# Writes and uploads checkpoints, each named by its sum, as fast as it can.
UPLOADS = """
import hashlib
import os
import sys

from training.workdir.remote import open_workdir

workdir = open_workdir(sys.argv[1])
(workdir.path / "checkpoints").mkdir(parents=True, exist_ok=True)
kept = sorted((workdir.path / "checkpoints").iterdir())
first = int(kept[-1].name[:9]) + 1 if kept else 0
for step in range(first, first + 10**6):
    contents = os.urandom(4_000_000)
    named = f"{step:09}-{hashlib.sha256(contents).hexdigest()}"
    history = workdir.path / "history.csv"
    history.write_text("".join(f"{row}\\n" for row in range(step + 1)))
    (workdir.path / "checkpoints" / named).write_bytes(contents)
    for old in sorted((workdir.path / "checkpoints").iterdir())[:-2]:
        old.unlink()
    workdir.upload()
    print(step, flush=True)
"""


@pytest.fixture(params=["file", "s3"])
def remote_url(request, tmp_path):
    if request.param == "file":
        return f"file://{tmp_path}/there"
    return request.getfixturevalue("bucket")


@pytest.mark.slow
def test_checkpoints_survive_kills_with_nothing_half_written(remote_url, tmp_path):
    moments = random.Random(0)
    store, root = fsspec.core.url_to_fs(remote_url)
    newest_step, machine = -1, tmp_path / "machine"
    for _ in range(KILLS[remote_url.partition(":")[0]]):
        process = subprocess.Popen(
            [sys.executable, "-c", UPLOADS, remote_url],
            cwd=ROOT,
            env={**os.environ, "XDG_CACHE_HOME": str(machine)},
            stdout=subprocess.PIPE,
        )
        process.stdout.readline()
        time.sleep(moments.uniform(0.0, 0.5))
        process.kill()
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
        # The next session begins on a machine that has nothing.
        shutil.rmtree(machine)
        shutil.rmtree(Mirror(remote_url).local, ignore_errors=True)
        path = open_workdir(remote_url).path
        checkpoints = sorted((path / "checkpoints").iterdir())
        for checkpoint in checkpoints:
            step, _, digest = checkpoint.name.partition("-")
            assert hashlib.sha256(checkpoint.read_bytes()).hexdigest() == digest
        # Two, and a new one whose elders were still there.
        assert 2 <= len(checkpoints) <= 4 or newest_step < 0
        assert int(step) > newest_step
        newest_step = int(step)
        rows = (path / "history.csv").read_text()
        assert rows.endswith("\n")
        assert len(rows.splitlines()) > newest_step


def command(data, workdir):
    return [
        *(sys.executable, "-m", "training.main", "--recipe=scratch_small"),
        *(f"--data=array:{data}", f"--workdir={workdir}", "--devices=cpu"),
        *("--set=variant=test_convnext2", "--set=size_px=16", "--set=global_batch=8"),
        *(f"--set=epochs={EPOCHS}", "--set=ema_decay=0.9", "--set=keep=best"),
    ]


def newest(checkpoints):
    with np.load(max(checkpoints.glob("*.ckpt"))) as arrays:
        return {name: arrays[name] for name in arrays.files if name != "position.json"}


@pytest.fixture
def bucket(monkeypatch):
    """A bucket of a server that speaks S3, and what a process needs to reach it."""
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    store = fsspec.filesystem("s3")
    store.mkdir("runs")
    yield "s3://runs/killed"
    server.stop()


def check_kills(url, tmp_path, kills):
    """Kills a run again and again, each time on a machine that has nothing."""
    data = write_arrays(tmp_path / "images.npz")
    whole = tmp_path / "whole"
    subprocess.run(command(data, whole), cwd=ROOT, check=True, capture_output=True)
    moments = random.Random(0)
    arguments = command(data, url)
    for number in range(kills):
        machine = tmp_path / f"machine{number}"
        process = subprocess.Popen(
            arguments,
            cwd=ROOT,
            env={**os.environ, "XDG_CACHE_HOME": str(machine)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        before = set(lying_at_names(url))
        ends = time.monotonic() + 300
        while process.poll() is None and time.monotonic() < ends:
            if set(lying_at_names(url)) - before:
                break
            time.sleep(0.02)
        time.sleep(moments.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        shutil.rmtree(machine, ignore_errors=True)
        # All that has a name is whole.
        check_whole(url)
    done = subprocess.run(
        arguments,
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "last")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shutil.rmtree(tmp_path / "last")
    copy = open_workdir(url)
    expected, found = newest(whole / "checkpoints"), newest(copy.checkpoints)
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    times = {"seconds", "images_per_second", "data_wait"}
    rows, again = (
        [{k: v for k, v in row.items() if k not in times} for row in history_of(path)]
        for path in (whole, copy.path)
    )
    assert rows == again
    assert copy.report.is_file()
    assert json.loads(copy.metrics.read_text())["epochs"] == EPOCHS


def lying_at_names(url):
    store, root = fsspec.core.url_to_fs(url)
    store.invalidate_cache()
    return [name for name in store.find(root) if name.endswith(".ckpt")]


def check_whole(url):
    folder = open_workdir(url).path
    for path in folder.glob("checkpoints/*.ckpt"):
        with np.load(path) as arrays:
            assert all(arrays[name] is not None for name in arrays.files)
    for path in folder.glob("*.json"):
        json.loads(path.read_text())


def history_of(folder):
    from training.workdir import history

    return history.read(folder / "history.csv")


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_from_a_folder_by_url(tmp_path):
    check_kills(f"file://{tmp_path}/there", tmp_path, 3)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_run_that_is_killed_goes_on_from_an_object_store(bucket, tmp_path):
    check_kills(bucket, tmp_path, 3)
