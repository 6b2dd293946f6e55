"""The rules that let one source tree be `training` here and a subpackage installed.

docs/architecture.md has them in words. Every rule is a function from one parsed module
to its offences; it is tried on a module that breaks it, then on the sources.
"""

import ast
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = "keras_convnext"
# Where absl is used, once for all commands; nothing but commands may import it.
COMMAND_LINE = f"{LIBRARY}._cli"
APPLICATIONS = ("training", "export")


@dataclass(frozen=True)
class Module:
    """One source file: its path below the root, with forward slashes, and its tree."""

    path: str
    tree: ast.Module

    @property
    def package(self) -> str:
        return self.path.split("/")[0]

    @property
    def depth(self) -> int:
        """How many dots a relative import may have and still stay in the package."""
        return self.path.count("/")


def module(path: str, source: str) -> Module:
    return Module(path, ast.parse(source))


def absolute_imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of what is imported absolutely; `from a import b` gives a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((node.lineno, f"{node.module}.{a.name}") for a in node.names)


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def imports_of(module: Module, *packages: str) -> list[int]:
    return [
        line
        for line, name in absolute_imports(module.tree)
        if any(is_within(name, package) for package in packages)
    ]


def names_an_application_absolutely(module: Module) -> list[int]:
    # `import training` finds nothing once the package is keras_convnext.training.
    return imports_of(module, *APPLICATIONS, *(f"{LIBRARY}.{a}" for a in APPLICATIONS))


def imports_beyond_its_package(module: Module) -> list[int]:
    # Installed, one dot more reaches keras_convnext; in a checkout it reaches nothing.
    return [
        node.lineno
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.level > module.depth
    ]


def registers_a_keras_class(module: Module) -> list[int]:
    # The registered name holds the module's name, which differs once installed.
    registrar = "register_keras_serializable"
    used = [
        node.lineno
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr == registrar
    ]
    imported = [
        line
        for line, name in absolute_imports(module.tree)
        if name.endswith(f".{registrar}")
    ]
    return used + imported


def defines_flags_outside_a_main(module: Module) -> list[int]:
    used = imports_of(module, "absl.flags", "absl.app")
    if module.path.endswith("main.py"):
        return used
    return used + imports_of(module, COMMAND_LINE)


def imports_private_keras(module: Module) -> list[int]:
    return imports_of(module, "keras.src")


def knows_a_command_line(module: Module) -> list[int]:
    if module.path == COMMAND_LINE.replace(".", "/") + ".py":
        return imports_of(module, "argparse", "tensorflow_datasets", "sys.argv")
    argv = [
        node.lineno
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.argv"
    ]
    return argv + imports_of(
        module, "absl", "argparse", "tensorflow_datasets", "sys.argv", COMMAND_LINE
    )


Rule = Callable[[Module], list[int]]
IN_APPLICATIONS: list[Rule] = [
    names_an_application_absolutely,
    imports_beyond_its_package,
    registers_a_keras_class,
    defines_flags_outside_a_main,
    imports_private_keras,
]
IN_THE_LIBRARY: list[Rule] = [
    names_an_application_absolutely,
    imports_beyond_its_package,
    imports_private_keras,
    knows_a_command_line,
]


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (names_an_application_absolutely, "training/a.py", "from training import b"),
        (names_an_application_absolutely, "training/a.py", "import export.main"),
        (
            names_an_application_absolutely,
            "export/a.py",
            "def f():\n    from keras_convnext.training import b",
        ),
        (imports_beyond_its_package, "training/a.py", "from .. import layers"),
        (imports_beyond_its_package, "training/b/c.py", "from ...export import d"),
        (
            registers_a_keras_class,
            "training/a.py",
            "@keras.saving.register_keras_serializable()\nclass A: pass",
        ),
        (
            registers_a_keras_class,
            "export/a.py",
            "from keras.saving import register_keras_serializable as register",
        ),
        (defines_flags_outside_a_main, "training/a.py", "from absl import flags"),
        (defines_flags_outside_a_main, "training/main.py", "from absl import app"),
        (
            defines_flags_outside_a_main,
            "training/a.py",
            "from keras_convnext import _cli",
        ),
        (imports_private_keras, "keras_convnext/a.py", "from keras.src import ops"),
        (imports_private_keras, "keras_convnext/a.py", "import keras.src.ops"),
        (knows_a_command_line, "keras_convnext/a.py", "from absl import logging"),
        (knows_a_command_line, "keras_convnext/a.py", "import keras_convnext._cli"),
        (knows_a_command_line, "keras_convnext/_cli.py", "import argparse"),
        (knows_a_command_line, "keras_convnext/a.py", "import sys\nsys.argv[1]"),
        (knows_a_command_line, "keras_convnext/a.py", "import tensorflow_datasets"),
    ],
)
def test_each_rule_finds_the_module_that_breaks_it(
    rule: Rule, path: str, source: str
) -> None:
    assert rule(module(path, source))


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (names_an_application_absolutely, "training/a.py", "from . import b"),
        (names_an_application_absolutely, "export/a.py", "import exporters"),
        (imports_beyond_its_package, "training/b/c.py", "from ..a import d"),
        (
            defines_flags_outside_a_main,
            "training/main.py",
            "from keras_convnext import _cli, _files",
        ),
        (defines_flags_outside_a_main, "training/a.py", "from absl import logging"),
        (knows_a_command_line, "keras_convnext/_cli.py", "from absl import flags"),
        (imports_private_keras, "keras_convnext/a.py", "from keras import ops"),
    ],
)
def test_no_rule_objects_to_what_is_allowed(rule: Rule, path: str, source: str) -> None:
    assert not rule(module(path, source))


@functools.cache
def sources(package: str) -> list[Module]:
    found = [
        module(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        for path in sorted((ROOT / package).rglob("*.py"))
    ]
    assert found, f"{package}/ holds no source file"
    return found


@pytest.mark.parametrize("rule", IN_APPLICATIONS)
@pytest.mark.parametrize("package", APPLICATIONS)
def test_the_applications_keep_the_rule(package: str, rule: Rule) -> None:
    offences = [f"{m.path}:{line}" for m in sources(package) for line in rule(m)]
    assert offences == []


@pytest.mark.parametrize("rule", IN_THE_LIBRARY)
def test_the_library_keeps_the_rule(rule: Rule) -> None:
    offences = [f"{m.path}:{line}" for m in sources(LIBRARY) for line in rule(m)]
    assert offences == []
