"""The option by which the slow tests stop in time without hiding what did not run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"
THREE_TESTS = """
import time

def test_first(): time.sleep(1)
def test_second(): assert {second}
def test_third(): pass
"""


def run(
    folder: Path, budget_s: str, *options: str, second: bool = True
) -> subprocess.CompletedProcess[str]:
    shutil.copy(CONFTEST, folder)
    (folder / "test_three.py").write_text(THREE_TESTS.format(second=second))
    return subprocess.run(
        [sys.executable, "-m", "pytest", f"--time-budget={budget_s}", *options, folder],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("options", [[], ["--numprocesses=1"]], ids=["here", "xdist"])
def test_a_spent_budget_leaves_tests_out_names_them_and_passes(
    tmp_path: Path, options: list[str]
) -> None:
    finished = run(tmp_path, "0.5", *options)
    assert finished.returncode == 0, finished.stdout
    # On a machine that is busy the start alone may take half a second.
    left_out = int(re.search(r"(\d) tests were NOT RUN", finished.stdout)[1])
    assert left_out in (2, 3)
    assert "not run: test_three.py::test_third" in finished.stdout
    assert f"{left_out} skipped" in finished.stdout


def test_a_large_budget_runs_every_test_says_so_and_lets_them_fail(
    tmp_path: Path,
) -> None:
    finished = run(tmp_path, "600", second=False)
    assert finished.returncode == 1, finished.stdout
    assert "Every test ran within 600 s." in finished.stdout
    assert "1 failed, 2 passed" in finished.stdout


def test_every_file_comes_first_in_some_turn(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"test_{name}.py").write_text("def test_it(): pass")
    shutil.copy(CONFTEST, tmp_path)
    begun = []
    for turn in (0, 1, 3):
        finished = subprocess.run(
            [sys.executable, "-m", "pytest", f"--turn={turn}", "--co", "-q", tmp_path],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        collected = re.findall(r"test_(\w)\.py::", finished.stdout)
        assert sorted(collected) == list("abc")
        begun.append(collected[0])
    assert set(begun) == set("abc")
