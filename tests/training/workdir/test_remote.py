"""A workdir at a URL: whole there at any moment, and resumed from there alone."""

import json
import os
import shutil
import uuid
from pathlib import Path

import fsspec
import pytest

from keras_convnext._messages import UsageError
from tests.checks import write_arrays
from training import main
from training.workdir.remote import Mirror, open_workdir

pytestmark = pytest.mark.usefixtures("cache")


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
    names = [n for n in store.find(root) if not n.endswith("/.writer")]
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


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Opens a workdir as another machine does, which has no copy."""

    def open_elsewhere(url):
        with monkeypatch.context() as patch:
            patch.setenv("XDG_CACHE_HOME", str(tmp_path / uuid.uuid4().hex))
            return open_workdir(url)

    return open_elsewhere


def test_of_two_runs_with_one_url_the_older_ends(url, elsewhere):
    old = elsewhere(url)
    write(old.path, checkpoints__one="1")
    old.upload()
    new = elsewhere(url)
    write(new.path, checkpoints__two="2")
    new.upload()
    write(old.path, checkpoints__three="3")
    with pytest.raises(UsageError, match=r"another run uploads to .* Only one may run"):
        old.upload()
    assert lying_at(url) == {"checkpoints/one": "1", "checkpoints/two": "2"}
    write(new.path, checkpoints__four="4")
    new.upload()
    assert "checkpoints/four" in lying_at(url)


@pytest.mark.parametrize("begun", [False, True])
def test_a_run_does_not_write_where_another_has_written_meanwhile(
    url, elsewhere, begun
):
    old = elsewhere(url)
    if begun:
        write(old.path, checkpoints__one="1")
        old.upload()
    new = elsewhere(url)
    write(old.path, checkpoints__two="2")
    old.upload()
    before = lying_at(url)
    write(new.path, checkpoints__two="other")
    with pytest.raises(UsageError, match="another run uploads to"):
        new.upload()
    assert lying_at(url) == before
    # Who only looks, and trains nothing, disturbs nobody.
    elsewhere(url)
    old.upload()


@pytest.mark.parametrize("url", ["nowhere://bucket/run"])
def test_a_url_that_nothing_opens_is_refused(url, tmp_path, capsys):
    data = write_arrays(tmp_path / "images.npz")
    flags = ["--recipe=scratch_small", f"--data=array:{data}", f"--workdir={url}"]
    assert main.main(["train", *flags]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"--workdir={url} cannot be opened" in line


def test_several_processes_need_a_folder_that_all_see(tmp_path, monkeypatch, capsys):
    hosts = {"worker": ["localhost:1", "localhost:2"]}
    task = {"type": "worker", "index": 0}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": hosts, "task": task}))
    flags = ["--recipe=scratch_small", f"--data=array:{tmp_path / 'images.npz'}"]
    assert main.main(["train", *flags, "--workdir=memory://x"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "--workdir=memory://x is for one process, and 2 train together" in line
