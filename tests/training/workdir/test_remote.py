"""A workdir at a URL: whole there at any moment, and resumed from there alone."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import fsspec
import numpy as np
import pytest

from keras_convnext._messages import UsageError
from tests.checks import write_arrays
from training import main
from training.workdir import remote
from training.workdir.remote import Mirror, open_workdir

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


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "PAUSES", (0.0, 0.0, 0.0))
    return tmp_path / "cache"


@pytest.fixture(params=["memory", "file"])
def url(request, tmp_path):
    if request.param == "file":
        return f"file://{tmp_path}/there"
    return f"memory://{uuid.uuid4().hex}/runs/demo"


def write(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def lying_at(url):
    store, root = fsspec.core.url_to_fs(url)
    names = store.find(root)
    return {n[len(root) :].strip("/"): store.cat_file(n).decode() for n in names}


def test_what_is_written_here_is_there_and_comes_back_on_another_machine(url, cache):
    workdir = open_workdir(url)
    write(workdir.path, recipe="{}", checkpoints__one="1", history="a")
    workdir.upload()
    assert lying_at(url) == {"recipe": "{}", "checkpoints/one": "1", "history": "a"}
    (workdir.path / "checkpoints" / "one").unlink()
    write(workdir.path, checkpoints__two="2", history="ab")
    workdir.upload()
    wanted = {"recipe": "{}", "checkpoints/two": "2", "history": "ab"}
    assert lying_at(url) == wanted
    shutil.rmtree(cache)
    again = open_workdir(url)
    assert {n: (again.path / n).read_text() for n in wanted} == wanted
    # What somebody removed there is gone here, too.
    store, root = fsspec.core.url_to_fs(url)
    store.rm_file(f"{root}/history")
    assert not (open_workdir(url).path / "history").exists()


def test_a_checkpoint_comes_after_what_it_needs_and_the_figures_last(url, monkeypatch):
    mirror = Mirror(url)
    names = ["metrics.json", "checkpoints/b.ckpt", "recipe.json", "pictures/x.png"]
    write(mirror.local, **{name.replace("/", "__"): name for name in names})
    put, order = Mirror._put, []
    monkeypatch.setattr(
        Mirror, "_put", lambda self, name: order.append(name) or put(self, name)
    )
    mirror.upload()
    assert order[2:] == ["checkpoints/b.ckpt", "metrics.json"]
    assert sorted(order) == sorted(names)
    mirror.upload()
    assert len(order) == 4


def test_nothing_half_uploaded_has_a_name(tmp_path, monkeypatch):
    url = f"file://{tmp_path}/there"
    mirror = Mirror(url)
    write(mirror.local, history="old")
    mirror.upload()
    write(mirror.local, history="newer")

    def cut(self, local, path, **_):
        Path(path).write_text("new")
        raise SystemExit

    store = type(fsspec.filesystem("file"))
    monkeypatch.setattr(store, "put_file", cut)
    with pytest.raises(SystemExit):
        mirror.upload()
    assert (tmp_path / "there" / "history").read_text() == "old"
    assert list(Mirror(url)._list()) == ["history"]


def test_a_copy_that_is_further_than_the_url_stays(url):
    mirror = Mirror(url)
    write(mirror.local, **{"recipe.json": "{}", "checkpoints__step-1": "1"})
    mirror.upload()
    write(mirror.local, **{"checkpoints__step-2": "2"})
    (mirror.local / "checkpoints" / "step-1").unlink()
    again = open_workdir(url)
    again.upload()
    assert lying_at(url) == {"recipe.json": "{}", "checkpoints/step-2": "2"}
    # Of another run it does not.
    write(mirror.local, **{"recipe.json": "{ }", "checkpoints__step-3": "3"})
    open_workdir(url)
    assert not (mirror.local / "checkpoints" / "step-3").exists()


def test_a_copy_stays_until_it_was_uploaded_once(url, monkeypatch):
    mirror = Mirror(url)
    write(mirror.local, **{"recipe.json": "{}", "checkpoints__step-1": "1"})
    with monkeypatch.context() as broken:
        broken.setattr(Mirror, "_put", lambda *_: os.stat("/nowhere"))
        with pytest.raises(UsageError, match="cannot be written"):
            mirror.upload()
    again = open_workdir(url)
    again.upload()
    assert lying_at(url) == {"recipe.json": "{}", "checkpoints/step-1": "1"}
    # What somebody has removed since then is to begin anew.
    store, root = fsspec.core.url_to_fs(url)
    store.rm(root, recursive=True)
    anew = open_workdir(url)
    assert not (anew.path / "recipe.json").exists()


def test_a_broken_connection_is_tried_again_and_then_told_in_a_line(url, monkeypatch):
    mirror = Mirror(url)
    write(mirror.local, history="a")
    failures, put = [ConnectionError("reset\nby peer")] * 3, Mirror._put

    def shaky(self, name):
        if failures:
            raise failures.pop()
        put(self, name)

    monkeypatch.setattr(Mirror, "_put", shaky)
    mirror.upload()
    assert lying_at(url) == {"history": "a"}
    write(mirror.local, history="ab")
    failures += [ConnectionError("reset\nby peer")] * 4
    with pytest.raises(UsageError) as caught:
        mirror.upload()
    assert str(caught.value) == (
        f"--workdir={url} cannot be written: reset by peer; what is saved lies in "
        f"{mirror.local}, and the same command resumes"
    )
    # Nobody is let in by asking again.
    failures += [PermissionError("Access Denied"), AssertionError("asked again")]
    failures.reverse()
    with pytest.raises(UsageError, match="Access Denied"):
        mirror.upload()


@pytest.mark.parametrize("url", ["nowhere://bucket/run"])
def test_a_url_that_nothing_opens_is_refused(url, tmp_path, capsys):
    data = write_arrays(tmp_path / "images.npz")
    flags = ["--recipe=scratch_small", f"--data=array:{data}", f"--workdir={url}"]
    assert main.main(["train", *flags]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"--workdir={url} cannot be opened" in line


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


def test_several_processes_need_a_folder_that_all_see(tmp_path, monkeypatch, capsys):
    hosts = {"worker": ["localhost:1", "localhost:2"]}
    task = {"type": "worker", "index": 0}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": hosts, "task": task}))
    flags = ["--recipe=scratch_small", f"--data=array:{tmp_path / 'images.npz'}"]
    assert main.main(["train", *flags, "--workdir=memory://x"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "--workdir=memory://x is for one process, and 2 train together" in line


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
