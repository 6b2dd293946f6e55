"""HTML pages that need nothing beside them: escaping, tables, images and the style.

Every function takes plain text and returns HTML.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

_STYLE = """
:root { --ink: #1f2733; --quiet: #5b6675; --line: #e4e8ee; --key: #0b6bcb; }
* { box-sizing: border-box; }
body { margin: 0; background: #f6f7f9; color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem;
  overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0 0 1rem; }
p { margin: 0 0 1rem; overflow-wrap: anywhere; } .quiet { color: var(--quiet); }
section { background: white; border: 1px solid var(--line); border-radius: 10px;
  padding: 1.5rem; margin-top: 1.5rem; overflow-x: auto; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr));
  gap: .8rem; margin-top: 1.5rem; }
.figures div { background: white; border: 1px solid var(--line); border-radius: 10px;
  padding: .9rem 1rem; }
.figures b { display: block; font-size: 1.35rem; line-height: 1.3; color: var(--key); }
.figures span { color: var(--quiet); font-size: .85rem; line-height: 1.3;
  display: block; }
img { max-width: 100%; height: auto; display: block; margin: 0 auto; }
table { border-collapse: collapse; width: 100%; font-size: .95rem; }
th, td { text-align: left; padding: .35rem .7rem .35rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--quiet); font-weight: 500; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
td:last-child, th:last-child { padding-right: 0; }
.sheet { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, 11rem); }
figure { margin: 0; overflow-wrap: anywhere; font-size: .85rem; }
figure img { width: 7rem; height: 7rem; object-fit: contain; margin: 0;
  background: var(--line); }
.cards { display: grid; gap: 1.5rem 1rem;
  grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); }
.cards img { width: 100%; height: 13rem; }
.bar { display: flex; justify-content: space-between; gap: .5rem; padding: 0 .3rem;
  margin-top: 2px; font-variant-numeric: tabular-nums; }
.other { color: #b00020; font-weight: 600; }
code { font: .9em ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
"""


class Html(str):
    """Text that is HTML already; cells of it are not escaped."""


def page(title: str, summary: str, body: str) -> str:
    """Returns a whole page.

    Args:
        title: Its heading.
        summary: What stands below it.
        body: HTML: figures and sections.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<main>\n<h1>{escape(title)}</h1>\n<p class="quiet">{escape(summary)}</p>\n'
        f"{body}\n</main>\n</body>\n</html>\n"
    )


def section(title: str, body: str, words: str = "") -> str:
    """Returns a section of HTML with a heading and perhaps a sentence on it."""
    said = f'<p class="quiet">{escape(words)}</p>\n' if words else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{said}{body}\n</section>\n"


def figures(shown: Iterable[tuple[str, str]]) -> str:
    """Returns boxes, each a figure and its name."""
    boxes = "".join(
        f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>"
        for value, name in shown
    )
    return f'<div class="figures">{boxes}</div>\n'


def table(head: Sequence[str], body: Iterable[Sequence[str]], numbers: int = 0) -> str:
    """Returns a table.

    Args:
        head: The columns' names; none for no head.
        body: The rows.
        numbers: How many of the last columns are numbers.
    """

    def line(cells: Sequence[str], kind: str) -> str:
        first_number = len(cells) - numbers
        return "".join(
            f"<{kind}{' class=number' if column >= first_number else ''}>"
            f"{cell if isinstance(cell, Html) else escape(cell)}</{kind}>"
            for column, cell in enumerate(cells)
        )

    rows = [line(head, "th")] if head else []
    rows += [line(cells, "td") for cells in body]
    return "<table>\n" + "".join(f"<tr>{row}</tr>\n" for row in rows) + "</table>"


def code(command: str) -> Html:
    """Returns a command as one sees it in a terminal."""
    return Html(f"<code>{escape(command)}</code>")


def image(words: str, contents: bytes, kind: str = "png") -> str:
    """Returns an image.

    Args:
        words: What stands in its place where it cannot be seen.
        contents: The file.
        kind: "png" or "jpeg".
    """
    data = base64.b64encode(contents).decode("ascii")
    return f'<img alt="{escape(words)}" src="data:image/{kind};base64,{data}">'


def sheet(shown: Iterable[tuple[bytes, Sequence[str], Sequence[str]]]) -> str:
    """Returns small images side by side.

    Args:
        shown: For each a PNG, the lines below it, and those that are marked as wrong.
    """
    cells = "".join(
        f"<figure>{image('', png)}<figcaption>{'<br>'.join(map(escape, lines))}"
        + "".join(f'<br><span class="other">{escape(line)}</span>' for line in marked)
        + "</figcaption></figure>"
        for png, lines, marked in shown
    )
    return f'<div class="sheet">{cells}</div>'
