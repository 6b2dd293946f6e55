"""What pages claim of the code is so: error texts, the tables, the list of pages."""

import ast
import re
import runpy
import sys
from pathlib import Path

import pytest

import keras_convnext
from docs.marked_page import replace_between
from tests.documentation.blocks import ROOT

SOURCES = [
    path
    for package in ("keras_convnext", "training", "export")
    for path in sorted((ROOT / package).rglob("*.py"))
]
TROUBLES = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")


def as_pattern(node: ast.expr) -> str:
    """Returns a string of the source with `…` where a value is put in."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            as_pattern(part) if isinstance(part, ast.Constant) else "…"
            for part in node.values
        )
    return ""


def strings_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return {as_pattern(n) for n in ast.walk(tree) if isinstance(n, ast.expr)} - {""}


@pytest.fixture(scope="module")
def strings() -> set[str]:
    return set().union(*(strings_of(path) for path in SOURCES))


def holds(pattern: str, text: str) -> bool:
    """Returns True if the code's string is the page's text.

    The page may end with `…` where the code goes on, and may leave values out.
    """
    place = 0
    for part in text.split("…"):
        found = pattern.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return True


def test_every_error_text_of_the_troubleshooting_page_is_in_the_code(
    strings: set[str],
) -> None:
    texts = re.findall(r"^### `(.+)`$", TROUBLES, re.MULTILINE)
    assert len(texts) >= 20
    assert all(len(text.replace("…", "")) >= 15 for text in texts)
    missing = [t for t in texts if not any(holds(p, t) for p in strings)]
    assert missing == []


def test_a_text_that_the_code_does_not_have_is_noticed(strings: set[str]) -> None:
    assert not any(holds(p, "There is no ConvNeXt variety called …") for p in strings)


@pytest.mark.parametrize("name", ["model_zoo", "recipes", "variants"])
def test_the_tables_of_a_page_are_those_that_its_script_writes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--check"])
    script = ROOT / "docs" / f"{name}_table.py"
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    assert ended.value.code == 0


def test_a_page_that_is_out_of_date_or_without_marks_is_noticed() -> None:
    page = "above\n<!-- a -->\nold\n<!-- b -->\nbelow\n"
    renewed = replace_between(page, "<!-- a -->\n", "<!-- b -->\n", "new\n")
    assert renewed == "above\n<!-- a -->\n\nnew\n\n<!-- b -->\nbelow\n"
    with pytest.raises(ValueError, match="no lines <!-- c --> and <!-- b -->"):
        replace_between(page, "<!-- c -->\n", "<!-- b -->\n", "new\n")


def test_readme_counts_the_published_weights() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert f"\n{len(keras_convnext.list_weights())} checkpoints load by name" in readme


def test_every_page_is_in_the_site_and_in_the_index() -> None:
    site = (ROOT / "mkdocs.yml").read_text("utf-8")
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    pages = [path.relative_to(ROOT / "docs") for path in ROOT.glob("docs/**/*.md")]
    assert len(pages) > 12
    assert [page for page in pages if f"- {page.as_posix()}\n" not in site] == []
    roots = [page.name for page in pages if len(page.parts) == 1]
    assert [n for n in roots if n != "index.md" and f"]({n})" not in index] == []
