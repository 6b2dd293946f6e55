"""The structure of the code, measured from its imports: no circles, few arrows.

A room is a package or a module directly below an application. An arrow goes from one
room to another when anything in the first imports anything of the second.
"""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("keras_convnext", "training", "export")
MOST_ARROWS = {"training": 70, "export": 35}


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {
    module_name(file): file
    for package in PACKAGES
    for file in sorted((ROOT / package).rglob("*.py"))
}


def imported_names(name: str, file: Path) -> Iterator[str]:
    """Every `a.b.c` of `import a.b.c`, `from a.b import c` and `from .b import c`."""
    package = name.split(".") if file.stem == "__init__" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def imports_of(name: str, file: Path) -> set[str]:
    found = imported_names(name, file)
    modules = {n if n in FILES else n.rpartition(".")[0] for n in found}
    return modules & set(FILES) - {name}


IMPORTS = {name: imports_of(name, file) for name, file in FILES.items()}


def arrows_of(application: str) -> dict[str, set[str]]:
    rooms: dict[str, set[str]] = {}
    for name, targets in IMPORTS.items():
        if name.startswith(f"{application}."):
            room = name.split(".")[1]
            within = {
                t.split(".")[1] for t in targets if t.startswith(f"{application}.")
            }
            rooms.setdefault(room, set()).update(within - {room})
    return rooms


def test_no_modules_import_each_other_in_a_circle() -> None:
    order = list(graphlib.TopologicalSorter(IMPORTS).static_order())
    assert len(order) == len(FILES)


@pytest.mark.parametrize("application", MOST_ARROWS)
def test_no_rooms_import_each_other_in_a_circle(application: str) -> None:
    rooms = arrows_of(application)
    order = list(graphlib.TopologicalSorter(rooms).static_order())
    assert set(order) == set(rooms)


@pytest.mark.parametrize("application", MOST_ARROWS)
def test_few_arrows_go_between_the_rooms(application: str) -> None:
    count = sum(len(targets) for targets in arrows_of(application).values())
    assert 20 < count <= MOST_ARROWS[application]


def test_relative_and_absolute_imports_are_found() -> None:
    assert "training.engine.run" in IMPORTS["training.engine.trainer"]
    assert "keras_convnext.variants" in IMPORTS["keras_convnext.models"]
    with pytest.raises(graphlib.CycleError):
        list(graphlib.TopologicalSorter({"a": {"b"}, "b": {"a"}}).static_order())


def hidden_modules(package: str, source: str) -> set[str]:
    """The modules of a package whose names its `__init__` gives to something else."""
    return {
        alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module not in (None, package)
        for alias in node.names
        if f"{package}.{alias.asname or alias.name}" in FILES
    }


def test_no_public_function_hides_a_module() -> None:
    assert hidden_modules("keras_convnext", "from a.variants import variants")
    public = {"keras_convnext": ROOT / "keras_convnext" / "_public.py"}
    packages = {
        name: file
        for name, file in FILES.items()
        if file.stem == "__init__" and name != "keras_convnext"
    }
    for name, file in (public | packages).items():
        assert hidden_modules(name, file.read_text("utf-8")) == set(), name
