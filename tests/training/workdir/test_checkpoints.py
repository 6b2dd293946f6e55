"""Checkpoints: exact, trimmed to the newest and the best, safe against damage."""

import errno
import os
import resource

import keras
import numpy as np
import pytest

from keras_convnext import _files
from keras_convnext._messages import UsageError
from training.workdir import checkpoints
from training.workdir.checkpoints import Checkpoints, TrainProgress


@pytest.fixture
def variables():
    rng = np.random.default_rng(0)
    return {
        "model/kernel": keras.Variable(rng.normal(size=(3, 4)).astype(np.float32)),
        "seed/0": keras.Variable(np.array([7, 8], np.int64), dtype="int64"),
    }


def values(variables):
    return {name: variable.numpy() for name, variable in variables.items()}


def steps(folder):
    return sorted(int(name[5:14]) for name in os.listdir(folder))


def test_what_was_saved_comes_back_to_the_bit(tmp_path, variables):
    progress = TrainProgress(
        epoch=2,
        batch=5,
        step=25,
        totals={"loss": 1 / 3, "steps": 5.0},
        seconds=1.5,
        score=0.75,
    )
    before = values(variables)
    kept = Checkpoints(tmp_path / "c", variables, keep=2)
    kept.tidy()
    kept.save(progress)
    for variable in variables.values():
        variable.assign(variable.numpy() * 0)

    restored, damaged = Checkpoints(tmp_path / "c", variables, keep=2).restore()
    assert (restored, damaged) == (progress, [])
    for name, value in values(variables).items():
        np.testing.assert_array_equal(value, before[name])


def test_there_is_nothing_to_restore_at_first(tmp_path, variables):
    assert Checkpoints(tmp_path / "c", variables, keep=2).restore() is None


def test_the_newest_and_the_best_stay(tmp_path, variables):
    kept = Checkpoints(tmp_path, variables, keep=2)
    for step, score in enumerate([None, 0.5, 0.9, 0.9, 0.7, 0.8], start=1):
        kept.save(TrainProgress(step=step, score=score))
    # 3 is the first of the two best; 5 and 6 are the newest.
    assert steps(tmp_path) == [3, 5, 6]
    assert kept.best().name == "step-000000003.ckpt"


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied"])
def test_a_damaged_checkpoint_is_passed_over_and_named(tmp_path, variables, damage):
    kept = Checkpoints(tmp_path, variables, keep=3)
    kept.save(TrainProgress(step=1))
    before = values(variables)
    variables["model/kernel"].assign(np.ones((3, 4)))
    newest = kept.save(TrainProgress(step=2))
    contents = bytearray(newest.read_bytes())
    if damage == "cut":
        contents = contents[: len(contents) // 2]
    elif damage == "emptied":
        contents = b""
    else:
        # The last byte of the array of ones, 0x3f800000.
        contents[contents.rindex(b"\x00\x00\x80\x3f") + 3] ^= 1
    newest.write_bytes(contents)

    progress, damaged = kept.restore()
    assert progress.step == 1
    assert len(damaged) == 1
    assert str(newest) in damaged[0]
    np.testing.assert_array_equal(
        variables["model/kernel"].numpy(), before["model/kernel"]
    )


def test_a_full_disk_is_one_line_and_costs_no_earlier_checkpoint(
    tmp_path, variables, monkeypatch
):
    kept = Checkpoints(tmp_path, variables, keep=1)
    kept.save(TrainProgress(step=1))

    def write_until_full(file, array):
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np.lib.format, "write_array", write_until_full)
    with pytest.raises(UsageError) as raised:
        kept.save(TrainProgress(step=2))
    assert "No space left on device" in str(raised.value)
    assert "step-000000001.ckpt" in str(raised.value)
    assert steps(tmp_path) == [1]
    monkeypatch.undo()
    assert kept.restore()[0].step == 1


def test_a_write_that_the_system_cuts_short_costs_no_earlier_checkpoint(
    tmp_path, variables
):
    """The system itself refuses bytes beyond a limit, as it does on a full disk."""
    kept = Checkpoints(tmp_path, variables, keep=1)
    first = kept.save(TrainProgress(step=1))
    before = values(variables)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (first.stat().st_size // 2, hard))
    try:
        with pytest.raises(
            UsageError, match=r"cannot write .*step-000000002.ckpt \(File"
        ):
            kept.save(TrainProgress(step=2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == [first.name]
    for variable in variables.values():
        variable.assign(variable.numpy() * 0)
    progress, damaged = kept.restore()
    assert (progress.step, damaged) == (1, [])
    for name, value in values(variables).items():
        np.testing.assert_array_equal(value, before[name])
    # Once there is room, it goes on.
    assert kept.save(TrainProgress(step=2)).exists()


def test_a_checkpoint_of_another_model_is_refused_untouched(tmp_path, variables):
    Checkpoints(tmp_path, variables, keep=1).save(TrainProgress(step=1))
    other = {
        "model/kernel": keras.Variable(np.zeros((3, 5), np.float32)),
        "seed/0": keras.Variable(np.array([1, 1], np.int64), dtype="int64"),
    }
    with pytest.raises(UsageError, match=r"another model: model/kernel"):
        Checkpoints(tmp_path, other, keep=1).restore()
    np.testing.assert_array_equal(other["seed/0"].numpy(), [1, 1])


def test_half_written_checkpoints_of_a_killed_process_are_removed(tmp_path, variables):
    with _files.replacing(tmp_path / f"step-000000009{checkpoints.SUFFIX}") as partial:
        leftover = partial.name
        partial.touch()
    (tmp_path / leftover).write_bytes(b"half")
    Checkpoints(tmp_path, variables, keep=1).tidy()
    assert leftover not in os.listdir(tmp_path)
