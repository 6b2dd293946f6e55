"""The blocks of code of the pages, and what is to be done to them.

A block is fenced with its language, or is indented by four spaces and begins with a
command. A comment in the line above says how it is run:

    <!-- run -->                        a command that is run, not only parsed
    <!-- run with: --set epochs=1 -->   the same, with these flags added
    <!-- not run: needs a network -->   a block that is parsed only, and why

Python is run unless the comment says otherwise. Commands need a comment, because many
would take hours; all of them are parsed. A library for this (Sybil, pytest-examples)
was looked at: neither parses a command against its flags or adds some to it.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "RELEASE")),
        *ROOT.glob("docs/**/*.md"),
    ]
)
COMMANDS = ("bash", "sh", "shell", "console")
OTHER_LANGUAGES = (
    "text",
    "json",
    "yaml",
    "html",
    "dockerfile",
    "proto",
    "c",
    "markdown",
)
_FIRST_WORDS = (
    "python",
    "pip",
    "make",
    "docker",
    "git",
    "curl",
    "echo",
    "unzip",
    "keras-convnext",
)
_FENCED = re.compile(
    r"(?P<fence>```+)(?P<language>\w*)\n(?P<text>.*?)\n(?P=fence)$", re.S | re.M
)
_INDENTED = re.compile(r"(?<=\n\n)((?: {4}.*\n|\n(?= {4}))+)")
_DIRECTIVE = re.compile(r"<!-- (run|run with|not run)(?:: (.*?))? -->\n\n?$")


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        page: Path of its page below the root.
        line: Number of its first line, from 1.
        language: "python", "bash" or another word of its fence.
        text: What it says.
        directive: "run", "run with", "not run" or nothing.
        argument: Flags to add, or the reason not to run it.
    """

    page: str
    line: int
    language: str
    text: str
    directive: str
    argument: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def _block(page: Path, whole: str, start: int, language: str, text: str) -> Block:
    found = _DIRECTIVE.search(whole[:start])
    directive, argument = (found[1], found[2] or "") if found else ("", "")
    name = page.relative_to(ROOT).as_posix()
    line = whole.count("\n", 0, start) + 1
    return Block(name, line, language, text, directive, argument)


def blocks_of(page: Path) -> list[Block]:
    """Returns the blocks of a page in order."""
    whole = page.read_text("utf-8")
    found = [
        _block(page, whole, match.start(), match["language"], match["text"])
        for match in _FENCED.finditer(whole)
    ]
    # Fenced text is blanked, so that what is indented in it is not found again.
    rest = _FENCED.sub(lambda match: re.sub(r"[^\n]", "`", match[0]), whole)
    for match in _INDENTED.finditer(rest):
        text = re.sub(r"^ {4}", "", match[0], flags=re.M).rstrip()
        language = "bash" if _begins_a_command(text) else "text"
        found.append(_block(page, whole, match.start(), language, text))
    return sorted(found, key=lambda block: block.line)


def _begins_a_command(text: str) -> bool:
    first = next((word for word in text.split() if not re.match(r"\w+=", word)), "")
    return Path(first).name.startswith(_FIRST_WORDS) or first == ".ci/run"


ALL = [block for page in PAGES for block in blocks_of(page)]


def commands(block: Block) -> list[list[str]]:
    """Returns the commands of a block, split into words.

    Settings of environment variables before a command, a prompt, comments and what a
    pipe or a redirection leads to are left out.
    """
    text = re.sub(r"^\$ ", "", block.text, flags=re.M).replace("\\\n", " ")
    found = []
    for line in _joined_quotes(text):
        words = shlex.split(line, comments=True)
        for number, word in enumerate(words):
            if word in ("|", ">", "2>", "&", "<") and number:
                words = words[:number]
                break
        while words and re.fullmatch(r"[A-Z][A-Z_0-9]*=.*", words[0], re.S):
            words.pop(0)
        if words:
            found.append(words)
    return found


def _joined_quotes(text: str) -> list[str]:
    """Returns the lines, those between quotation marks joined."""
    lines: list[str] = []
    waiting = ""
    for line in text.splitlines():
        waiting = f"{waiting}\n{line}" if waiting else line
        if _quotes_are_closed(waiting):
            lines.append(waiting)
            waiting = ""
    return [*lines, waiting] if waiting else lines


def _quotes_are_closed(text: str) -> bool:
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return True
