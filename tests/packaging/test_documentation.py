"""What the pages point at is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FOLDERS = ("keras_convnext", "training", "export", "tests", "benchmarks")
TEXTS = [
    *PAGES,
    *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))),
    *(ROOT / ".github").rglob("*.yml"),
    *ROOT.glob("requirements/*.txt"),
    *(ROOT / name for name in ("setup.py", "pyproject.toml", "Makefile", ".ci/run")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_of_a_page_leads_to_a_file(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|mailto:|#)([^)#]+)", page.read_text("utf-8"))
    assert [t for t in targets if not (page.parent / t).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_a_page_runs_is_there(page: Path) -> None:
    modules = re.findall(
        r"python -m ((?:training|export)\.[\w.]+)", page.read_text("utf-8")
    )
    paths = [ROOT / f"{module.replace('.', '/')}.py" for module in modules]
    assert [path.name for path in paths if not path.exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_that_a_page_names_is_there(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert "demo" in targets
    text = page.read_text("utf-8")
    named = re.findall(r"(?:^ {4}|`)make ([a-z-]+)", text, re.MULTILINE)
    assert set(named) - targets == set()


def test_no_text_holds_the_path_of_somebodys_machine() -> None:
    personal = re.compile(r"(?<![\w.~-])/(?:home|root|Users|work|opt)/[\w.-]+")
    found = {
        path.relative_to(ROOT).as_posix(): match[0]
        for path in TEXTS
        if (match := personal.search(path.read_text("utf-8")))
    }
    assert len(TEXTS) > 20
    assert found == {}
