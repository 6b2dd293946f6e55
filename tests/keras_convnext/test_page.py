"""Pages: what comes from outside is text, however it is written."""

from html.parser import HTMLParser

import pytest

from keras_convnext import _page

EVIL = "<script>alert('x')</script>&\""


class Reader(HTMLParser):
    """Collects tags, texts and alternative texts as a browser would find them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.texts += [value for name, value in attrs if name == "alt"]

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.parametrize(
    ("text", "times"),
    [
        (_page.page(EVIL, EVIL, ""), 3),
        (_page.section(EVIL, "", EVIL), 2),
        (_page.table((EVIL, EVIL), [(EVIL, EVIL)], numbers=1), 4),
        (_page.table((), [(_page.code(EVIL),)]), 1),
        (_page.figures([(EVIL, EVIL)]), 2),
        (_page.image(EVIL, b"png"), 1),
        (_page.sheet([(b"png", (EVIL, EVIL), [EVIL])]), 3),
    ],
)
def test_markup_in_a_text_is_shown_and_not_obeyed(text, times):
    read = Reader(text)
    assert "script" not in read.tags
    assert read.texts.count(EVIL) == times


def test_the_last_columns_of_a_table_are_numbers():
    text = _page.table(("name", "count"), [("a", "1")], numbers=1)
    assert "<th>name</th><th class=number>count</th>" in text
    assert "<td>a</td><td class=number>1</td>" in text
