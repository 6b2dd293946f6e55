"""One word for one thing: the words that the glossary retires are in no file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEARCHED = ("keras_convnext", "training", "export", "benchmarks", "docs", "notebooks")
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "RELEASE.md", "Makefile")
ENDINGS = {".py", ".md", ".html", ".ipynb", ".txt", ".yaml", ".yml", ".toml"}

# Names that the code had before; the glossary is for words that people read.
RETIRED_NAMES = {
    "ComeAgainError": "RetryableError",
    "Learner": "TrainState",
    "Mistake": "UsageError",
    "Patience": "RetryPolicy",
    "SPECS": "DATA_FORMS",
    "TableNormal": "FastRandomNormal",
    "UnitScale": "ScaleByInverseStd",
    "Verdicts": "Predictions",
    "blended": "mixup",
    "catalog": "creation",
    "deployable": "build_inference_model",
    "is_of_use": "is_supported",
    "jittered": "jitter_colors",
    "postponed": "deferred_init",
    "quiet_start": "_startup",
    "say_goodbye": "start_draining",
    "seen_alike": "match_preprocessing",
    "told_how_to_go_on": "resume_hint",
    "verdicts_of": "predictions_from_probabilities",
}
# What stays although it holds a retired word, and why.
ALLOWED = {
    r"\b(runs?/\w+|workdir|docs|model)/pictures\b": "the folder of a run",
    r"\bpictures/": "the folder of a run",
    r"[\"'`]pictures?[\"'`]": "the folder; a field of export.json and of predictions",
    r"--(most_)?pictures\b|\"most_pictures\"": "old names of flags, until 0.3",
    r"[\"'`]artefacts\\?[\"'`]": "a field of export.json",
    r"\blicence=|[.\"`]licence\b|def licence\b": "old names of `license`, until 0.3",
    r"[\"`]held_back(_images)?[\"`]": "old names of Source's, until 0.3",
    r"\"(keras_convnext>)?(TableNormal|UnitScale)\"": "names in files of version 0.1",
    r"Patience-|keras\.callbacks\.\w+": "of others",
}


def glossary() -> dict[str, str]:
    """Returns the retired words of CONTRIBUTING.md and what to say instead."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = page.partition("## Glossary")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \|([^|]*)\|$", table, re.MULTILINE)
    return {
        word.strip(): say
        for say, words in rows[1:]
        for word in words.split(",")
        if word.strip()
    }


def texts() -> Iterator[tuple[str, str]]:
    """Yields the path and the text of every file that people read."""
    files = [ROOT / name for name in PAGES]
    for folder in SEARCHED:
        files += sorted((ROOT / folder).rglob("*"))
    for file in files:
        if file.suffix not in ENDINGS and file.name != "Makefile":
            continue
        text = file.read_text(encoding="utf-8")
        if file.name == "CONTRIBUTING.md":
            head, _, rest = text.partition("## Glossary")
            text = head + rest.partition("\n## ")[2]
        yield str(file.relative_to(ROOT)), text


def found(word: str, text: str) -> list[str]:
    """Returns the lines of a text that hold a word, apart from what is allowed."""
    pattern = re.compile(
        rf"(?<![A-Za-z]){re.escape(word)}(?![A-Za-z])",
        re.IGNORECASE if word.islower() else 0,
    )
    lines = []
    for line in text.splitlines():
        if pattern.search(line):
            for allowed in ALLOWED:
                line = re.sub(allowed, "", line)
            if pattern.search(line):
                lines.append(line.strip())
    return lines


@pytest.fixture(scope="module")
def pages() -> list[tuple[str, str]]:
    return list(texts())


def test_the_glossary_has_the_words_and_what_they_replace() -> None:
    retired = glossary()
    assert len(retired) >= 25
    assert retired["pictures"] == "image"
    assert retired["licence"] == "license"
    assert not set(retired) & set(retired.values())


@pytest.mark.parametrize("word", glossary())
def test_no_file_has_a_word_that_the_glossary_retires(
    word: str, pages: list[tuple[str, str]]
) -> None:
    assert [(p, line) for p, text in pages for line in found(word, text)] == []


@pytest.mark.parametrize("name", RETIRED_NAMES)
def test_no_code_has_a_name_that_was_replaced(
    name: str, pages: list[tuple[str, str]]
) -> None:
    code = [(path, text) for path, text in pages if path.endswith(".py")]
    assert [(p, line) for p, text in code for line in found(name, text)] == []


def test_a_retired_word_is_noticed_and_what_people_already_have_is_not() -> None:
    assert found("picture", "One picture alone") == ["One picture alone"]
    assert found("pictures", "see runs/demo/pictures/curves.png") == []
    assert found("licence", "the Licence of it") == ["the Licence of it"]
    assert found("artefacts", 'holds "artefacts"') == []
    assert found("Learner", "a learner of XGBLearner") == []
