"""Whether a run may live in a folder."""

import dataclasses
import json
import os
import stat

import pytest

from keras_convnext._messages import UsageError
from training.workdir.layout import Workdir, identity


def test_a_new_folder_becomes_the_runs(tmp_path, tiny_recipe):
    workdir = Workdir(tmp_path / "runs" / "one")
    workdir.check_writable()
    assert not workdir.path.exists()
    workdir.claim(identity(tiny_recipe, "bars"))
    there = json.loads(workdir.recipe.read_text())
    assert there["name"] == "tiny"
    assert there["augmentation"]["shift_px"] == 1
    assert there["data"] == "bars"


def test_the_same_run_may_go_on(tmp_path, tiny_recipe):
    Workdir(tmp_path).claim(identity(tiny_recipe, "bars"))
    Workdir(tmp_path).claim(identity(tiny_recipe, "bars"))


def test_another_run_is_refused_with_what_is_different(tmp_path, tiny_recipe):
    Workdir(tmp_path).claim({**identity(tiny_recipe, "bars"), "epochs": 7})
    with pytest.raises(UsageError, match="epochs=7 there and 2 here"):
        Workdir(tmp_path).check_same(identity(tiny_recipe, "bars"))


def test_other_images_under_the_same_name_are_another_run(tmp_path, tiny_recipe):
    known = identity(tiny_recipe, "folder:photos")
    Workdir(tmp_path).claim({**known, "train_examples": 40})
    Workdir(tmp_path).check_same(known)
    with pytest.raises(UsageError, match="train_examples=40 there and 41 here"):
        Workdir(tmp_path).claim({**known, "train_examples": 41})


def test_a_file_in_the_way_is_a_mistake(tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(UsageError, match="taken is a file"):
        Workdir(tmp_path / "taken" / "run").check_writable()


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write_is_a_mistake(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(UsageError, match="cannot be written"):
        Workdir(tmp_path / "run").check_writable()
    tmp_path.chmod(stat.S_IRWXU)


def test_a_folder_that_cannot_be_made_is_a_mistake(tmp_path, monkeypatch, tiny_recipe):
    def refuse(*arguments, **named):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(UsageError, match="cannot be written: Permission denied"):
        Workdir(tmp_path / "run").claim(identity(tiny_recipe, "bars"))


def test_a_run_is_finished_when_its_figures_are_there(tmp_path):
    workdir = Workdir(tmp_path)
    assert workdir.finished() is None
    workdir.metrics.write_text('{"top1": 0.5}')
    assert workdir.finished() == {"top1": 0.5}


def test_a_run_older_than_a_field_goes_on_with_its_default(tmp_path, tiny_recipe):
    older = json.loads(json.dumps(identity(tiny_recipe, "bars")))
    del older["steps_per_call"], older["loss"], older["augmentation"]["repeats"]
    Workdir(tmp_path).claim(older)
    Workdir(tmp_path).check_same(identity(tiny_recipe, "bars"))
    changed = dataclasses.replace(tiny_recipe, loss="sigmoid")
    with pytest.raises(UsageError, match="loss='softmax' there and 'sigmoid' here"):
        Workdir(tmp_path).check_same(identity(changed, "bars"))


@pytest.mark.parametrize("name", ["recipe.json", "metrics.json"])
def test_files_of_another_user_or_of_no_run_are_one_line(tmp_path, monkeypatch, name):
    workdir = Workdir(tmp_path)
    read = {"recipe.json": workdir.stored, "metrics.json": workdir.finished}[name]
    (tmp_path / name).write_text("[1]")
    with pytest.raises(UsageError, match=f"{name} .*; take another --workdir"):
        read()

    def refuse(*arguments, **named):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_text", refuse)
    with pytest.raises(UsageError, match=r"cannot be read \(Permission denied\)"):
        read()


def test_a_run_that_cannot_begin_leaves_no_empty_folders(tmp_path, tiny_recipe):
    for name, kept in (("new", ()), ("mine", ("notes.txt",))):
        workdir = Workdir(tmp_path / name)
        workdir.claim(identity(tiny_recipe, "bars"))
        for file in kept:
            (workdir.path / file).touch()
        workdir.release()
        assert workdir.path.exists() == bool(kept)
        assert [path.name for path in workdir.path.glob("*")] == list(kept)
