"""What the command says where a run is ended from outside."""

import errno
import os

import numpy as np
import pytest

from training import main
from training.engine import finish, trainer


@pytest.fixture
def command(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        f"{part}_{what}": values
        for part in ("train", "test")
        for what, values in (
            ("images", rng.integers(0, 256, (8, 16, 16, 3)).astype(np.uint8)),
            ("labels", np.arange(8) % 2),
        )
    }
    np.savez(tmp_path / "data.npz", **arrays)
    return [
        *("main", "--recipe=scratch_small", f"--data=array:{tmp_path}/data.npz"),
        *(f"--workdir={tmp_path}/run", "--set=variant=test_convnext2"),
        *("--set=size_px=16", "--set=epochs=1", "--set=warmup_epochs=0"),
        *("--set=global_batch=8", "--devices=cpu"),
    ]


def refused(number):
    error = OSError(number, os.strerror(number))
    error.filename = "some/file"
    return error


ENDS = [
    (KeyboardInterrupt(), 130, "train: interrupted; run the same command to {}."),
    (
        refused(errno.ENOSPC),
        2,
        "train: error: cannot write some/file (No space left on device); once there is "
        "room, run the same command to {}",
    ),
    (
        refused(errno.EROFS),
        2,
        "train: error: cannot write some/file (Read-only file system); once there is "
        "room, run the same command to {}",
    ),
]


def raising(error):
    def function(*arguments):
        raise error

    return function


@pytest.mark.parametrize(("error", "code", "words"), ENDS)
def test_before_the_first_checkpoint_it_starts_again(
    command, capfd, monkeypatch, error, code, words
):
    monkeypatch.setattr(trainer, "train", raising(error))
    assert main.main(command) == code
    assert capfd.readouterr().err.splitlines()[-1] == words.format("start again")


@pytest.mark.parametrize(("error", "code", "words"), ENDS)
def test_while_the_report_is_made_it_resumes_from_the_last_step(
    command, tmp_path, capfd, monkeypatch, error, code, words
):
    def train(run, callbacks):
        run.save()

    monkeypatch.setattr(trainer, "train", train)
    monkeypatch.setattr(finish, "leave", raising(error))
    assert main.main(command) == code
    newest = tmp_path / "run" / "checkpoints" / "step-000000000.ckpt"
    told = capfd.readouterr().err.splitlines()[-1]
    assert told == words.format(f"resume from {newest}")


def test_another_error_is_the_programs_and_is_not_hidden(command, monkeypatch):
    monkeypatch.setattr(trainer, "train", raising(refused(errno.ENOENT)))
    with pytest.raises(FileNotFoundError):
        main.main(command)


def test_the_workdir_alone_resumes_and_then_tells_how_to_train_on(
    command, tmp_path, capfd, monkeypatch
):
    seen = []

    def train(run, callbacks):
        seen.append((run.recipe, run.source.name, run.progress.step))
        run.save()
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "train", train)
    alone = ["main", f"--workdir={tmp_path}/run"]
    assert main.main(alone) == 2
    assert "--recipe and --data must be given" in capfd.readouterr().err
    assert main.main(command) == 130
    assert main.main(alone) == 130
    assert seen[0] == seen[1]
    assert seen[1][1] == f"array:{tmp_path}/data.npz"
    (tmp_path / "run" / "metrics.json").write_text('{"top1": 0.5}')
    capfd.readouterr()
    assert main.main(alone) == 0
    assert "is finished: validation accuracy 50.00%" in capfd.readouterr().out
    assert main.main([*alone, "--set=epochs=20"]) == 2
    [line] = capfd.readouterr().err.splitlines()
    assert f"--weights={tmp_path}/run --workdir={tmp_path}/run-2" in line
    assert line.endswith("--set=epochs=20")
