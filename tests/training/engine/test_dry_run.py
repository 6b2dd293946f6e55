"""What a run would be: told with figures that a run has, and nothing is written."""

import re

import pytest

import keras_convnext
from tests.checks import write_arrays
from training import main
from training.engine import first_step
from training.recipes import table

CHANGES = ("variant=convnext_atto", "size_px=32", "patch_size=4", "global_batch=8")


def dry_run(tmp_path, *flags):
    data = write_arrays(tmp_path / "data.npz")
    given = ["--recipe=scratch_small", f"--data=array:{data}", "--devices=cpu"]
    changes = [
        f"--set={change}" for change in (*CHANGES, "epochs=3", "warmup_epochs=1")
    ]
    workdir = f"--workdir={tmp_path / 'run'}"
    return main.main(["train", *given, *changes, workdir, "--dry_run", *flags])


def test_it_tells_images_steps_parameters_and_memory(tmp_path, capsys):
    assert dry_run(tmp_path) == 0
    said = capsys.readouterr().out
    assert "32 for training, 8 for validation, 4 classes" in said
    assert "4 an epoch of 8 images, 12 in 3 epochs" in said
    network = keras_convnext.create(
        "convnext_atto", classes=4, input_shape=(32, 32, 3), patch_size=4
    )
    assert f"{network.count_params():,}, convnext_atto" in said
    recipe = table.resolve("scratch_small", CHANGES)
    image, fixed = first_step.bytes_of(recipe, 1, 4)
    by_parts = [
        f"{(8 / parts * image + fixed) / 2**30:.2f} GiB at {parts}"
        for parts in (1, 2, 4, 8)
    ]
    assert f"by accumulation_steps: {', '.join(by_parts)} (estimated)" in said
    assert f"{image / 2**20:,.0f} MiB for each of 8 images at once" in said
    assert "estimated" in said
    assert re.search(r"pipeline +[\d,]+ images a second are read", said)
    assert "took 0:03 h on CIFAR-10 with 1 H200" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.npz"]


def test_the_speed_of_an_earlier_session_gives_the_time(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    # 32 images an epoch at 0.1 a second: 320 seconds for each of two epochs.
    (tmp_path / "run" / "history.csv").write_text(
        "epoch,loss,images_per_second\n1,0.5,0.1\n"
    )
    assert dry_run(tmp_path) == 0
    assert "about 10:40 of training for the 2 epochs left" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--set=global_batch=4096"], "is more than the 32 images to train on"),
        (["--data=array:nowhere.npz"], "nowhere.npz"),
        (["--set=size_px=2"], "scratch_small"),
    ],
)
def test_mistakes_are_those_of_a_run(flags, words, tmp_path, capsys):
    assert dry_run(tmp_path, *flags) == 2
    assert words in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "run").exists()
