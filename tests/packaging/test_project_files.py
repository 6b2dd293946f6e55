"""The files that say how the project is cited, reported to, released and checked."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import keras_convnext
from keras_convnext import image
from keras_convnext.variants import PAPER_V1, PAPER_V2
from keras_convnext.weights import download, side_files, tensor_file
from keras_convnext.weights.readers import (
    hdf5,
    restricted_pickle,
    safetensors,
    shards,
    torch,
)
from training.inference import inputs

ROOT = Path(__file__).resolve().parents[2]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
SECURITY = (ROOT / "SECURITY.md").read_text("utf-8")

# The schema of the Citation File Format 1.2.0: required keys, and a part of the
# optional ones.
REQUIRED = {"cff-version", "message", "title", "authors"}
ALLOWED = REQUIRED | {"abstract", "commit", "contact", "date-released", "doi"}
ALLOWED |= {"identifiers", "keywords", "license", "license-url", "preferred-citation"}
ALLOWED |= {"references", "repository", "repository-artifact", "repository-code"}
ALLOWED |= {"type", "url", "version"}
REFERENCE_REQUIRED = {"authors", "title", "type"}
REFERENCE_ALLOWED = REFERENCE_REQUIRED | {"collection-title", "conference", "doi"}
REFERENCE_ALLOWED |= {"identifiers", "journal", "month", "pages", "url", "year"}
PERSON = {"family-names", "given-names"}


def test_the_citation_has_the_fields_of_its_format() -> None:
    assert CITATION.keys() >= REQUIRED
    assert CITATION.keys() <= ALLOWED
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["type"] in ("software", "dataset")
    for reference in CITATION["references"]:
        assert reference.keys() >= REFERENCE_REQUIRED
        assert reference.keys() <= REFERENCE_ALLOWED
        assert all(author.keys() == PERSON for author in reference["authors"])
        assert isinstance(reference["year"], int)


def test_the_papers_that_are_cited_are_those_of_the_variants() -> None:
    cited = {r["identifiers"][0]["value"]: r for r in CITATION["references"]}
    assert cited.keys() == {PAPER_V1, PAPER_V2}
    # As the papers print them.
    people = {
        PAPER_V1: "Liu Mao Wu Feichtenhofer Darrell Xie",
        PAPER_V2: "Woo Debnath Hu Chen Liu Kweon Xie",
    }
    for paper, names in people.items():
        authors = [author["family-names"] for author in cited[paper]["authors"]]
        assert authors == names.split()


def test_the_package_the_citation_and_the_changelog_name_one_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    heading = r"^## \[(\d+\.\d+\.\d+)\] - (Unreleased|\d{4}-\d\d-\d\d)$"
    versions = re.findall(heading, changelog, re.MULTILINE)
    assert len(versions) == len(re.findall(r"^## ", changelog, re.MULTILINE)) >= 2
    assert CITATION["version"] == keras_convnext.__version__ == versions[0][0]
    assert "Unreleased" not in [date for _, date in versions[1:]]


def test_the_changelog_sorts_its_entries_under_the_usual_headings() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    for version in re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]:
        found = re.findall(r"^### (.+)$", version, re.MULTILINE)
        assert found
        assert set(found) <= kinds
        assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("said", "limit"),
    [
        ("{} MiB of pickle", torch._MOST_PICKLE_BYTES >> 20),
        ("{:,} instructions", restricted_pickle._MOST_INSTRUCTIONS),
        ("header of {} MB", safetensors._MOST_HEADER_BYTES // 10**6),
        ("index of {} MiB", shards._MOST_INDEX_BYTES >> 20),
        ("groups {} deep", hdf5.DEEPEST),
        ("{} MiB |\n| any file of weights", side_files._MOST_BYTES >> 20),
        ("{:,} tensors", tensor_file.MOST_TENSORS),
        ("{:,} pixels", image.MAX_PIXELS),
        ("{} GiB", download._LARGEST_BYTES >> 30),
        ("{} MiB an image", inputs.MAX_DOWNLOAD_BYTES >> 20),
    ],
)
def test_the_security_page_states_the_limits_of_the_code(said: str, limit: int) -> None:
    assert said.format(limit) in SECURITY


def test_pre_commit_runs_what_make_lint_runs_and_fetches_nothing() -> None:
    settings = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    [local] = settings["repos"]
    assert local["repo"] == "local"
    assert {hook["language"] for hook in local["hooks"]} == {"system"}
    linted = re.findall(
        r"\$\(VENV\)/bin/(python -m (?:ruff \w+|mypy))",
        (ROOT / "Makefile")
        .read_text("utf-8")
        .partition("\nlint:")[2]
        .partition("\n\n")[0],
    )
    entries = [hook["entry"].removeprefix(".venv/bin/") for hook in local["hooks"]]
    assert len(linted) == 3
    assert [entry.removesuffix(" --force-exclude") for entry in entries] == linted


def test_every_test_file_that_make_names_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    named = re.findall(r"[\w/]*test_\w+\.py", makefile)
    # `make quick` puts the library's folder in front of its own.
    places = (ROOT, ROOT / "tests" / "keras_convnext")
    missing = [n for n in named if not any((place / n).exists() for place in places)]
    assert len(named) > 20
    assert missing == []


def form_fields(form: dict[str, Any]) -> list[str]:
    return [field["id"] for field in form["body"] if field["type"] != "markdown"]


def test_a_bug_report_asks_for_version_backend_command_and_what_was_seen() -> None:
    forms = ROOT / ".github" / "ISSUE_TEMPLATE"
    bug = yaml.safe_load((forms / "bug_report.yml").read_text("utf-8"))
    assert {"version", "backend", "command", "seen"} <= set(form_fields(bug))
    for form in (
        bug,
        yaml.safe_load((forms / "feature_request.yml").read_text("utf-8")),
    ):
        # What GitHub asks of a form: a name, a description, fields with labels.
        assert {"name", "description", "body"} <= form.keys()
        assert len(set(form_fields(form))) == len(form_fields(form)) > 0
        for field in form["body"]:
            assert field["type"] in ("markdown", "input", "textarea", "dropdown")
            assert field["type"] == "markdown" or field["attributes"]["label"]
    assert json.dumps(bug["body"][0]).count("SECURITY.md") == 1
