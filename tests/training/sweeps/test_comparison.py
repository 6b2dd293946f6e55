"""Runs side by side: settings, curves, classes, and whether chance explains it."""

import json

import pytest
from scipy import stats

from keras_convnext._messages import UsageError
from training import compare_main
from training.recipes import table
from training.sweeps import comparison
from training.workdir import identity

FLIP = "augmentation.flip=true"


def write_run(folder, changes, answers, epochs=3, finished=True):
    """A workdir as a run of the demo leaves it, without its model."""
    folder.mkdir(parents=True)
    recipe = table.resolve("demo", [f"epochs={epochs}", *changes])
    (folder / "recipe.json").write_text(json.dumps(identity(recipe, "folder:pets")))
    rows = ["epoch,loss,accuracy,val_loss,val_accuracy,learning_rate"]
    rows += [
        f"{n + 1},{1 / (n + 1)},0.5,{1 / (n + 1)},0.6,0.001" for n in range(epochs)
    ]
    (folder / "history.csv").write_text("\n".join(rows) + "\n")
    if finished:
        right = sum(true == said for true, said in answers) / len(answers)
        metrics = {"top1": right, "loss": 0.5, "parameters": 350090}
        (folder / "metrics.json").write_text(json.dumps(metrics))
        lines = ["image,true,predicted,probability"]
        lines += [f"{n}.png,{t},{s},0.9" for n, (t, s) in enumerate(answers)]
        (folder / "validation.csv").write_text("\n".join(lines) + "\n")
    return folder


# (true, predicted): the first gets 6 of 10 cats and 8 of 10 dogs right.
FIRST = [("cat", "cat")] * 6 + [("cat", "dog")] * 4
FIRST += [("dog", "dog")] * 8 + [("dog", "cat")] * 2
# All cats but one, and 7 dogs: right alone on three cats, wrong alone on a dog.
SECOND = [("cat", "cat")] * 9 + [("cat", "dog")]
SECOND += [("dog", "dog")] * 7 + [("dog", "cat")] * 3


@pytest.fixture
def runs(tmp_path):
    return (
        write_run(tmp_path / "a" / "run", [], FIRST),
        write_run(tmp_path / "b" / "run", ["peak_lr=0.5", FLIP], SECOND),
    )


def test_the_page_shows_what_differs(runs, tmp_path, capsys):
    out = tmp_path / "page.html"
    assert compare_main.main(["compare", *map(str, runs), f"--out={out}"]) == 0
    said = capsys.readouterr().out
    assert "a/run  validation accuracy 70.00%" in said
    page = out.read_text()
    for shown in (
        "<td>peak_lr</td><td>0.002</td><td>0.5</td>",
        "<td>augmentation.flip</td><td>false</td><td>true</td>",
        ">60.0%</td>",
        ">90.0%</td>",
        ">+30.0</td>",
        ">-10.0</td>",
        "Of 20 images 1 are right in a/run alone and 3 in b/run alone",
        "which may be chance",
    ):
        assert shown in page, shown
    assert "<td>weight_decay</td>" not in page
    assert 'src="data:image/png;base64,' in page
    assert "http" not in page.replace("http-equiv", "")


@pytest.mark.parametrize(("first", "second"), [(1, 3), (0, 9), (5, 5), (30, 12)])
def test_the_p_value_is_that_of_a_binomial_test(first, second):
    expected = stats.binomtest(min(first, second), first + second, 0.5).pvalue
    found = comparison.Disagreement(100, first, second).p_value
    assert found == pytest.approx(expected, rel=1e-9)


def test_a_run_that_is_not_finished_has_curves_alone(runs, tmp_path, capsys):
    third = write_run(tmp_path / "c", [], FIRST, epochs=2, finished=False)
    out = tmp_path / "page.html"
    named = [*map(str, runs), str(third)]
    assert compare_main.main(["compare", *named, f"--out={out}"]) == 0
    assert "not finished" in capsys.readouterr().out
    assert "1 of 3 runs are not finished" in out.read_text()


def test_mistakes_are_told_in_a_line_and_leave_nothing(runs, tmp_path, capsys):
    cases = [
        ([runs[0]], "name two workdirs or more"),
        ([runs[0], runs[0]], "each once"),
        ([runs[0], tmp_path], "is no run's folder"),
    ]
    for named, words in cases:
        out = tmp_path / "page.html"
        assert compare_main.main(["compare", *map(str, named), f"--out={out}"]) == 2
        [line] = capsys.readouterr().err.strip().splitlines()
        assert words in line
        assert not out.exists()


def test_a_run_without_an_epoch_is_refused(tmp_path):
    folder = write_run(tmp_path / "a", [], FIRST, finished=False)
    (folder / "history.csv").unlink()
    with pytest.raises(UsageError, match="no epoch to compare yet"):
        comparison.read("a", folder)
