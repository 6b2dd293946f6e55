"""The notebooks run from their first cell to their last, each in a process of its own.

Their code is plain Python without any of the notebook's own commands, so that the
interpreter of the tests runs it: a kernel would bring thirty distributions along.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documentation.blocks import ROOT

NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))


def code_of(notebook: Path) -> list[str]:
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    return ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]


def test_there_is_one_for_each_of_the_three_people_and_one_for_pixels() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["adapt", "deploy", "segment", "train"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs_and_is_plain_python(
    notebook: Path,
) -> None:
    document = json.loads(notebook.read_text("utf-8"))
    assert document["nbformat"] == 4
    cells = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
    assert [cell for cell in cells if cell["outputs"]] == []
    assert {cell["execution_count"] for cell in cells} == {None}
    for code in code_of(notebook):
        assert not re.search(r"^\s*[%!]", code, re.MULTILINE)
        compile(code, notebook.name, "exec")


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_to_its_end(notebook: Path, tmp_path: Path) -> None:
    script = tmp_path / "cells.py"
    script.write_text("\n\n".join(code_of(notebook)), "utf-8")
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=800,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout
