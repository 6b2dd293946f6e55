"""What the scripts in docs/ share: a page with parts that a script writes."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path


def replace_between(page: str, begin: str, end: str, text: str) -> str:
    """Returns a page with the text between two lines replaced.

    Args:
        page: The whole page.
        begin: The line above, with its line break.
        end: The line below, with its line break.
        text: The new text, without blank lines around it.

    Raises:
        ValueError: The page does not have both lines.
    """
    before, found, rest = page.partition(begin)
    _, also_found, after = rest.partition(end)
    if not found or not also_found:
        raise ValueError(f"the page has no lines {begin.strip()} and {end.strip()}")
    return f"{before}{begin}\n{text}\n{end}{after}"


def write_or_check(path: Path, renew: Callable[[str], str], description: str) -> None:
    """Writes a page anew; with `--check`, exits with 1 if that would change it.

    Args:
        path: The page.
        renew: Returns the page as it should be.
        description: For `--help`.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    old = path.read_text("utf-8")
    new = renew(old)
    if check:
        sys.exit(0 if new == old else f"{path} is out of date: run {sys.argv[0]}")
    path.write_text(new, "utf-8")
