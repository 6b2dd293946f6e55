"""Every image is answered by the run that was not trained on it."""

import json
import statistics

import keras
import numpy as np
import pytest

from tests.checks import write_arrays
from training import cross_validate_main, evaluate_main

FOLDS = 3


def cross_validate(data, folder, *flags):
    common = ["--recipe=scratch_small", f"--data={data}", f"--workdir={folder}"]
    small = ["--set=variant=test_convnext2", "--set=size_px=16", "--set=patch_size=2"]
    small += ["--set=epochs=1", "--set=global_batch=8", "--devices=cpu"]
    return cross_validate_main.main(["cross_validate", *common, *small, *flags])


@pytest.mark.slow
@pytest.mark.timeout(3600)  # 6 starts, each as long as the machine is busy
def test_the_probabilities_are_out_of_sample(tmp_path, capsys):
    file, folder = write_arrays(tmp_path / "data.npz"), tmp_path / "folds"
    assert cross_validate(f"array:{file}", folder, f"--folds={FOLDS}") == 0
    with np.load(folder / "out_of_sample.npz") as found, np.load(file) as arrays:
        joined = dict(found)
        images, labels = (
            np.concatenate([arrays[f"{part}_{what}"] for part in ("train", "test")])
            for what in ("images", "labels")
        )
    np.testing.assert_array_equal(joined["labels"], labels)
    figures = []
    for fold in range(1, FOLDS + 1):
        run = folder / f"folds={FOLDS},fold={fold}"
        model = keras.models.load_model(run / "model.keras")
        mine = joined["fold"] == fold
        expected = model.predict(images[mine].astype(np.float32), verbose=0)
        np.testing.assert_allclose(joined["probabilities"][mine], expected, atol=1e-5)
        metrics = json.loads((run / "metrics.json").read_text())
        assert metrics["eval_examples"] == mine.sum()
        assert metrics["train_examples"] == (~mine).sum()
        right = expected.argmax(axis=1) == labels[mine]
        assert metrics["top1"] == pytest.approx(right.mean())
        figures.append(metrics["top1"])
        out = tmp_path / "figures.json"
        assert evaluate_main.main(["evaluate", f"--model={run}", f"--out={out}"]) == 0
        assert json.loads(out.read_text())["top1"] == metrics["top1"]
        assert f"fold {fold} of {FOLDS} by seed 0" in capsys.readouterr().out
    summary = json.loads((folder / "cross_validation.json").read_text())
    top1 = summary["metrics"]["top1"]
    assert top1["values"] == figures
    assert top1["mean"] == pytest.approx(statistics.mean(figures))
    assert top1["standard_deviation"] == pytest.approx(np.std(figures, ddof=1))
    answers = joined["probabilities"].argmax(axis=1)
    assert summary["all_images"]["top1"] == pytest.approx((answers == labels).mean())
    assert "standard deviation" in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--folds=1"], "folds"),
        (["--folds=30"], "take fewer folds"),
        (["--set=target=labels", "--set=loss=focal"], "target=label"),
    ],
)
def test_mistakes_are_found_before_any_run(flags, words, tmp_path, capsys):
    data = f"array:{write_arrays(tmp_path / 'data.npz')}"
    assert cross_validate(data, tmp_path / "folds", *flags) == 2
    error = capsys.readouterr().err.strip()
    assert words in error
    assert not (tmp_path / "folds").exists()
