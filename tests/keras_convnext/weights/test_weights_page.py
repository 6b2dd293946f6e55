"""docs/weights.md says what the registry says."""

import importlib.util
from pathlib import Path

HERE = Path(__file__).parent


def test_the_tables_in_the_docs_are_those_of_the_registry() -> None:
    spec = importlib.util.spec_from_file_location(
        "make_weights_page", HERE / "make_weights_page.py"
    )
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    text = maker.PAGE.read_text(encoding="utf-8")
    assert maker.page(text) == text, "run make_weights_page.py"
    # The 98 names, each once with a status.
    assert text.count("| equal") == 98
