"""Asks every command about every form of a model: the table of docs/model_forms.md.

python docs/model_forms_table.py     # writes it; half an hour
"""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from docs.marked_page import replace_between  # noqa: E402
from tests.forms.commands import RIGHT, ask_all, prepare  # noqa: E402
from tests.forms.forms import COMMANDS, FORMS, Form  # noqa: E402

PAGE = Path(__file__).with_name("model_forms.md")
BEGIN = "<!-- forms: written by docs/model_forms_table.py -->\n"
END = "<!-- end of forms -->\n"


def ask(form: Form) -> dict[str, str]:
    """Returns each command's message for a form, without the folder's name."""
    with tempfile.TemporaryDirectory() as folder:
        answers = ask_all(prepare(form, Path(folder)))
    return {name: answer.replace(folder, "photos") for name, answer in answers.items()}


def table(answers: dict[str, dict[str, str]]) -> str:
    """Returns the table in Markdown, a row a form; refusals are numbered below it."""
    lines = [
        f"| Model | {' | '.join(COMMANDS)} |",
        "|---" * (len(COMMANDS) + 1) + "|",
    ]
    refusals: list[str] = []
    for form in FORMS:
        cells = []
        for command in COMMANDS:
            answer = answers[form.name][command]
            if answer != RIGHT:
                line = answer.partition(": ")[2].removeprefix("error: ")
                if line not in refusals:
                    refusals.append(line)
                answer = f"refused ({refusals.index(line) + 1})"
            cells.append(answer)
        lines.append(f"| {form.name} | {' | '.join(cells)} |")
    told = [f"{number}. `{line}`" for number, line in enumerate(refusals, 1)]
    return "\n".join([*lines, "", "Error lines of the refusals:", "", *told])


def write(answers: dict[str, dict[str, str]]) -> None:
    """Writes the page's part between the two marks."""
    page = PAGE.read_text("utf-8")
    PAGE.write_text(replace_between(page, BEGIN, END, f"{table(answers)}\n"), "utf-8")


def main() -> None:
    """Asks about all forms and writes the page."""
    answers = {}
    for form in FORMS:
        answers[form.name] = ask(form)
        print(form.name, *answers[form.name].values(), sep="  ", flush=True)
    write(answers)


if __name__ == "__main__":
    main()
