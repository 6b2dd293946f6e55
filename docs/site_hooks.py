"""Lets pages of docs/ link to files of the repository that lie outside of docs/.

The pages are read in the repository, too, where `../CONTRIBUTING.md` is right. In the
site, the Markdown files of the root become pages (`contributing.md`), and what else is
linked is copied to `files/`.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "RELEASE.md": "release.md",
    "SECURITY.md": "security.md",
    "findings/README.md": "findings.md",
}
_TARGET = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)")


def _in_site(target: str, page: PurePosixPath) -> tuple[str, Path | None]:
    """Returns the target of a link in the site, and the file to copy there.

    Args:
        target: As written in the page.
        page: The page's path in the repository.
    """
    path = (ROOT / page.parent / target).resolve()
    if not path.is_relative_to(ROOT):
        return target, None
    there = path.relative_to(ROOT).as_posix()
    if there in PAGES:
        return PAGES[there], None
    if there == "README.md":
        return "index.md", None
    if there.startswith("docs/"):
        return there.removeprefix("docs/"), None
    return f"files/{there}", path


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages and files that lie outside of docs/."""
    for source, name in PAGES.items():
        text = (ROOT / source).read_text("utf-8")
        files.append(File.generated(config, name, content=text))
    for file in list(files.documentation_pages()):
        for target in _TARGET.findall(file.content_string):
            name, path = _in_site(target, _repository_path(file.src_uri))
            if path is not None and path.is_file() and files.src_uris.get(name) is None:
                files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turns the repository's links into the site's."""
    here = PurePosixPath(page.file.src_uri)
    up = "../" * (len(here.parts) - 1)

    def link(match: re.Match[str]) -> str:
        return up + _in_site(match[1], _repository_path(page.file.src_uri))[0]

    return _TARGET.sub(link, markdown)


def _repository_path(src_uri: str) -> PurePosixPath:
    """Returns the path of a page in the repository."""
    for source, name in PAGES.items():
        if name == src_uri:
            return PurePosixPath(source)
    return PurePosixPath("docs") / src_uri
