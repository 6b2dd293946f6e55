"""The command that trains the road: what it writes, how it resumes, what it refuses."""

import json

import numpy as np
import pytest

from keras_convnext import roadmap
from training import roadmap_main
from training.roadmap import figure, report, runs
from training.roadmap.runs import Result

CLASSES = ("left", "right")
STEPS = ("patchify", "separate_downsampling")


@pytest.fixture(scope="module")
def image_file(tmp_path_factory):
    """24 training and 10 validation images of 16 pixels, in two classes."""
    path = tmp_path_factory.mktemp("data") / "bars.npz"
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 24), ("test", 10)):
        labels = np.arange(count) % 2
        images = rng.integers(0, 120, (count, 16, 16, 3))
        for image, label in zip(images, labels, strict=True):
            image[:, 3 + 8 * label : 6 + 8 * label] += 130
        arrays |= {f"{part}_images": images.astype(np.uint8), f"{part}_labels": labels}
    np.savez(path, classes=np.array(CLASSES), **arrays)
    return path


def run(image_file, workdir, *arguments, steps=STEPS):
    return roadmap_main.main(
        [
            "roadmap",
            f"--steps={','.join(steps)}",
            f"--data=array:{image_file}",
            f"--workdir={workdir}",
            "--depth_factor=0.1",
            "--width_factor=0.05",
            "--devices=cpu",
            "--set=size_px=16",
            "--set=patch_size=1",
            "--set=epochs=1",
            "--set=warmup_epochs=0",
            "--set=global_batch=8",
            *arguments,
        ]
    )


@pytest.fixture(scope="module")
def finished(image_file, tmp_path_factory):
    """A folder with the last step, trained once."""
    workdir = tmp_path_factory.mktemp("runs") / "road"
    assert run(image_file, workdir, steps=STEPS[1:]) == 0
    return workdir


def result(step, seed, top1, macs=1_000_000):
    return Result(
        step=step,
        seed=seed,
        top1=top1,
        loss=1.0,
        training_loss=1.0,
        parameters=1000,
        multiply_accumulates=macs,
        seconds=1.0,
    )


@pytest.mark.slow
def test_a_run_leaves_a_result_for_each_step_and_a_summary_of_all(finished):
    names = sorted(path.name for path in (finished / "results").iterdir())
    assert names == [f"{step}_seed0.json" for step in STEPS[1:]]
    summary = json.loads((finished / "roadmap.json").read_text())
    assert [run["step"] for run in summary["runs"]] == list(STEPS[1:])
    assert summary["settings"]["width_factor"] == 0.05
    for entry in summary["runs"]:
        assert 0 <= entry["top1"] <= 1
        # Of ten validation images.
        assert entry["top1"] * 10 == pytest.approx(round(entry["top1"] * 10))
        small = roadmap.reduced(roadmap.design(entry["step"]), 0.1, 0.05)
        assert entry["multiply_accumulates"] == roadmap.multiply_accumulates(
            small, 16, classes=2, patch_size=1
        )
    assert (finished / "roadmap.png").read_bytes().startswith(b"\x89PNG")
    assert "| separate_downsampling |" in (finished / "roadmap.md").read_text()
    assert not list(finished.rglob("*.ckpt"))


@pytest.mark.slow  # half a minute
def test_the_same_command_again_trains_nothing_and_more_seeds_are_added(
    image_file, finished, capsys
):
    assert run(image_file, finished) == 0
    assert "run 1 of" in capsys.readouterr().out
    before = {
        path: path.stat().st_mtime_ns for path in (finished / "results").iterdir()
    }
    assert run(image_file, finished) == 0
    assert "run 1 of" not in capsys.readouterr().out
    assert run(image_file, finished, "--seeds=2", steps=STEPS[:1]) == 0
    said = capsys.readouterr().out
    assert "patchify, seed 1 (run 2 of 2)" in said
    assert "run 1 of" not in said
    assert {path: path.stat().st_mtime_ns for path in before} == before
    summary = json.loads((finished / "roadmap.json").read_text())
    assert [(run["step"], run["seed"]) for run in summary["runs"]] == [
        ("patchify", 0),
        ("patchify", 1),
        ("separate_downsampling", 0),
    ]


def test_other_settings_in_the_same_folder_are_refused(image_file, finished, capsys):
    assert run(image_file, finished, "--set=epochs=2") == 2
    error = capsys.readouterr().err
    assert "holds another run (epochs=1 there and 2 here)" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--steps=patchfy"], "there is no step 'patchfy' (the closest is 'patchify')"),
        (["--regime=resnet18"], "regime is 'resnet18'"),
        (["--recipe=scratch_small"], "--set ema_decay=none"),
        (["--recipe=roadmap_smal"], "no recipe called 'roadmap_smal'"),
        (["--set=epoch=2"], "did you mean epochs?"),
        (["--width_factor=0"], "width_factor is 0.0, not in (0, 1]"),
        (["--data=array:nowhere.npz"], "nowhere.npz cannot be read"),
        (["--seeds=0"], "seeds"),
        (["--set=weights=imagenet"], "only the last step has published weights"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    arguments, wanted, image_file, tmp_path, capsys
):
    workdir = tmp_path / "road"
    assert run(image_file, workdir, *arguments) == 2
    error = capsys.readouterr().err
    assert wanted in error
    assert error.count("\n") == 1
    assert not workdir.exists()


def test_the_flags_without_a_default_are_asked_for_together(capsys):
    assert roadmap_main.main(["roadmap"]) == 2
    assert "--data and --workdir must be given" in capsys.readouterr().err


def test_a_damaged_result_is_named(tmp_path):
    folder = runs.RoadFolder(tmp_path)
    path = folder.result("gelu", 0)
    path.parent.mkdir()
    path.write_text('{"step": "gelu"}')
    with pytest.raises(runs.UsageError, match=r"gelu_seed0.json is no result"):
        runs.results(folder)


def test_mean_and_spread_are_taken_over_the_seeds():
    found = [result("gelu", seed, top1) for seed, top1 in enumerate((0.5, 0.6, 0.7))]
    (summary,) = report.summarize(found, "resnet50")
    assert summary.mean == pytest.approx(0.6)
    assert summary.spread == pytest.approx(0.1)  # divided by two, not by three
    (single,) = report.summarize(found[:1], "resnet50")
    assert single.spread is None
    assert single.paper.accuracy == 80.62


def test_a_change_is_measured_from_the_nearest_step_that_was_trained():
    found = [
        result("move_depthwise_up", 0, 0.50),
        result("kernel_7", 0, 0.53),
        result("kernel_11", 0, 0.52),
        result("fewer_norms", 0, 0.51),
    ]
    summaries = report.summarize(found, "resnet50")
    by_step = {summary.step: summary for summary in summaries}
    nearest = {
        step: before and before.step
        for step in by_step
        for before in [report.previous(step, by_step)]
    }
    assert nearest == {
        "move_depthwise_up": None,
        "kernel_7": "move_depthwise_up",
        "kernel_11": "move_depthwise_up",
        "fewer_norms": "kernel_7",
    }
    rows = report.markdown(summaries).splitlines()[2:]
    assert [row.split(" | ")[5].strip() for row in rows] == [
        "",
        "+3.00",
        "+2.00",
        "-2.00",
    ]
    # Table 10: 81.41 behind kernel 7's 80.57.
    assert rows[-1].endswith("| 81.41 | +0.84 |")


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_figure_is_drawn_with_and_without_a_spread(seeds):
    found = [
        result(step, seed, 0.4 + 0.01 * seed) for step in STEPS for seed in range(seeds)
    ]
    png = figure.draw(report.summarize(found, "resnet50"))
    assert png.startswith(b"\x89PNG")
