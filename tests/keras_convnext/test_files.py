"""Files appear whole or not at all."""

import json
import os

import pytest

from keras_convnext import _files


def test_a_file_appears_with_what_was_written(tmp_path):
    path = tmp_path / "a.json"
    _files.write_json(path, {"size": 3, "name": "ä"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"size": 3, "name": "ä"}
    assert os.listdir(tmp_path) == ["a.json"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail_half_way():
        with _files.replacing(path) as partial:
            partial.write_text("half")
            assert path.read_text() == "old"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_an_error_of_the_disk_names_the_file_and_not_the_temporary_one(tmp_path):
    path = tmp_path / "no folder" / "a.txt"
    with pytest.raises(FileNotFoundError) as raised:
        _files.write_text(path, "new")
    assert raised.value.filename == str(path)


def test_the_temporary_name_keeps_the_ending(tmp_path):
    # keras.Model.save refuses a file that does not end in .keras.
    with _files.replacing(tmp_path / "model.keras") as partial:
        assert partial.suffix == ".keras"
        partial.touch()


def test_leftovers_of_a_killed_process_are_removed(tmp_path):
    with _files.replacing(tmp_path / "a.txt") as partial:
        partial.write_text("whole")
        leftover = partial.name
    (tmp_path / leftover).write_text("half")
    (tmp_path / "b.txt").write_text("other")
    _files.remove_partial(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "b.txt"]
