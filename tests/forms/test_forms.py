"""Every form of a model, through every command: right, or refused in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.forms.commands import RIGHT, ask_all, prepare
from tests.forms.forms import COMMANDS, FORMS, Form


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_every_command_is_right_about_it_or_refuses_it_in_a_line(
    form: Form, tmp_path: Path
) -> None:
    if "KerasHub" in form.name:
        pytest.importorskip("keras_hub", reason="needs the extra hub")
    answers = ask_all(prepare(form, tmp_path))
    for command in COMMANDS:
        words = form.refused.get(command)
        if words is None:
            assert answers[command] == RIGHT, (command, answers[command])
        else:
            assert re.search(words, answers[command]), (command, answers[command])


def test_the_page_has_a_row_for_every_form() -> None:
    page = Path(__file__).parents[2] / "docs" / "model_forms.md"
    rows = re.findall(r"^\| (.+?) \| ", page.read_text("utf-8"), re.MULTILINE)
    assert [form.name for form in FORMS] == rows[1:]
