"""Images with a model's answers drawn in: on one page, or as files of a folder."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_convnext import _page
from keras_convnext._files import replacing, write_text
from keras_convnext._messages import UsageError

from .file_stems import FileStems
from .inputs import View
from .predictions import Answer

# The longest side of an image in a folder, and on a page.
SHOWN_PX = 800
_PAGE_PX = 400
# A page's images are all in one file: a thousand are some 30 MB.
MOST_ON_PAGE = 1000
_MOST_COUNTS, _MOST_PROBLEMS = 50, 100
_QUALITY = 90
# Of the rows below an image in a folder.
_LEAST_WIDTH_PX, _ROW_PX, _TEXT_PX, _MARGIN_PX = 240, 24, 15, 6
Font: TypeAlias = ImageFont.ImageFont | ImageFont.FreeTypeFont
_PAPER, _INK, _BAR, _MARKED = "white", "#1f2733", "#c9dff5", "#9fd8b4"


@dataclass(frozen=True)
class Row:
    """A line below an image.

    Attributes:
        text: What was found.
        value: Its figure, as it is shown.
        share: Length of its bar, 0 to 1.
        is_marked: Whether it applies, of a model with thresholds.
    """

    text: str
    value: str = ""
    share: float = 0.0
    is_marked: bool = False


@dataclass(frozen=True)
class Drawn:
    """An image and what is said of it.

    Attributes:
        view: As it was asked for.
        image: uint8 `(height, width, 3)`, or a file of it.
        rows: What stands below it.
        counted: What it is counted as; empty for nothing.
    """

    view: View
    image: np.ndarray | Path
    rows: Sequence[Row]
    counted: str = ""

    def open(self) -> Image.Image:
        """Returns the image."""
        if isinstance(self.image, Path):
            return Image.open(self.image).convert("RGB")
        return Image.fromarray(self.image)


class Drawing(Protocol):
    """What takes images one after the other."""

    def add(self, drawn: Drawn) -> None:
        """Takes an image."""

    def problem(self, line: str) -> None:
        """Takes a line about an image that cannot be read."""

    def finish(self) -> None:
        """Writes what is not yet written."""


def open_drawing(place: str | None, title: str) -> Drawing:
    """Returns what draws into a file .html, or else into a folder, which it makes.

    Args:
        place: What `--draw` says; None for nowhere.
        title: Heading of the page.

    Raises:
        UsageError: The folder cannot be made.
    """
    if place is None:
        return Nowhere()
    path = Path(place).expanduser()
    return Page(path, title) if path.suffix == ".html" else ImageFolder(path)


@contextlib.contextmanager
def _writing(place: Path) -> Iterator[None]:
    """Reports what cannot be written as a mistake in the flag."""
    try:
        yield
    except OSError as error:
        problem = f"--draw={place} cannot be written: {error.strerror}"
        raise UsageError(problem) from error


def rows_of(answer: Answer) -> list[Row]:
    """Returns what stands below an image that was classified, or has a number."""
    if answer.number is not None:
        return [Row("", f"{answer.number:.6g}")]
    marked = answer.labels or ()
    return [
        Row(name, f"{share:.1%}", share, name in marked) for name, share in answer.best
    ]


class Nowhere:
    """Draws nothing."""

    def add(self, drawn: Drawn) -> None:
        """Does nothing."""

    def problem(self, line: str) -> None:
        """Does nothing."""

    def finish(self) -> None:
        """Does nothing."""


class Page:
    """A page with images and their rows, in one file that needs nothing beside it.

    Args:
        file: Where it is written, at the end.
        title: Its heading.
    """

    def __init__(self, file: Path, title: str):
        self._file = file
        self._title = title
        self._cards: list[str] = []
        self._problems: list[str] = []
        self._images = self._unread = 0
        self._counts: Counter[str] = Counter()

    def add(self, drawn: Drawn) -> None:
        """Takes an image; beyond `MOST_ON_PAGE` it is counted alone."""
        self._images += 1
        if drawn.counted:
            self._counts[drawn.counted] += 1
        if len(self._cards) < MOST_ON_PAGE:
            self._cards.append(_card(drawn))

    def problem(self, line: str) -> None:
        """Takes a line about an image that cannot be read."""
        self._unread += 1
        if len(self._problems) < _MOST_PROBLEMS:
            self._problems.append(line)

    def finish(self) -> None:
        """Writes the page.

        Raises:
            UsageError: It cannot be written.
        """
        words = f"{self._images:,} images"
        if self._unread:
            words += f", {self._unread:,} not read"
        if self._images > len(self._cards):
            words += f"; the first {len(self._cards):,} are shown"
        body = self._counts_section()
        cards = f'<div class="cards">{"".join(self._cards)}</div>'
        body += _page.section("Images", cards)
        if self._problems:
            lines = [[line] for line in self._problems]
            body += _page.section("Not read", _page.table((), lines))
        with _writing(self._file):
            write_text(self._file, _page.page(self._title, words, body))

    def _counts_section(self) -> str:
        if not self._counts:
            return ""
        rows = [
            (name, f"{count:,}", f"{count / self._images:.1%}")
            for name, count in self._counts.most_common(_MOST_COUNTS)
        ]
        head = ("predicted class", "images", "share")
        return _page.section("Predicted classes", _page.table(head, rows, 2))


def _card(drawn: Drawn) -> str:
    image = drawn.open()
    image.thumbnail((_PAGE_PX, _PAGE_PX))
    title = drawn.view.title
    shown = _page.image(title, _jpeg(image), "jpeg")
    rows = "".join(map(_page_row, drawn.rows))
    # A path's end says most; the whole of it where the mouse rests.
    short = title.replace("\\", "/").rsplit("/", 2)[-2:]
    name = f'<span title="{escape(title)}">{escape("/".join(short))}</span>'
    return f"<figure>{shown}<figcaption>{name}{rows}</figcaption></figure>"


def _page_row(row: Row) -> str:
    color = _MARKED if row.is_marked else _BAR
    width = f"{100 * min(max(row.share, 0.0), 1.0):.1f}%"
    mark = "✓ " if row.is_marked else ""
    return (
        f'<div class="bar" style="background: linear-gradient(to right, {color} '
        f'{width}, transparent {width})"><span>{mark}{escape(row.text)}</span>'
        f"<span>{escape(row.value)}</span></div>"
    )


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


class ImageFolder:
    """A folder with a JPEG of each image, its rows below it.

    Args:
        folder: Made where missing.

    Raises:
        UsageError: It cannot be made.
    """

    def __init__(self, folder: Path):
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._stems = FileStems()

    def add(self, drawn: Drawn) -> None:
        """Writes an image.

        Raises:
            UsageError: It cannot be written.
        """
        stem = self._stems.new(drawn.view.name, drawn.view.frame)
        image = draw_rows(drawn.open(), drawn.rows)
        with (
            _writing(self._folder),
            replacing(self._folder / f"{stem}.jpg") as partial,
        ):
            partial.write_bytes(_jpeg(image))

    def problem(self, line: str) -> None:
        """Does nothing: there is no image."""

    def finish(self) -> None:
        """Does nothing: all is written."""


def draw_rows(image: Image.Image, rows: Sequence[Row]) -> Image.Image:
    """Returns an image with rows below it.

    Args:
        image: One in RGB. A narrow one is enlarged by whole numbers.
        rows: What stands below.
    """
    whole = image
    times = -(-_LEAST_WIDTH_PX // whole.width)
    if times > 1:
        size = (times * whole.width, times * whole.height)
        whole = whole.resize(size, Image.Resampling.NEAREST)
    width, height = whole.size
    sheet = Image.new("RGB", (width, height + _ROW_PX * len(rows)), _PAPER)
    sheet.paste(whole, (0, 0))
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_TEXT_PX)
    middle = _ROW_PX / 2
    for number, row in enumerate(rows):
        top = height + _ROW_PX * number
        color = _MARKED if row.is_marked else _BAR
        if end := round(width * min(max(row.share, 0.0), 1.0)):
            pen.rectangle((0, top + 1, end - 1, top + _ROW_PX - 2), fill=color)
        value_px = pen.textlength(row.value, font)
        room = width - value_px - 3 * _MARGIN_PX
        place = (_MARGIN_PX, top + middle)
        pen.text(place, _shorten(pen, row.text, font, room), _INK, font, "lm")
        pen.text((width - _MARGIN_PX, top + middle), row.value, _INK, font, "rm")
    return sheet


def _shorten(pen: ImageDraw.ImageDraw, text: str, font: Font, room: float) -> str:
    """Returns a text that is no wider than some pixels."""
    if pen.textlength(text, font) <= room:
        return text
    while text and pen.textlength(f"{text}...", font) > room:
        text = text[:-1]
    return f"{text}..."
