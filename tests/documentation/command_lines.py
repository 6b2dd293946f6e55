"""What the commands of the project take, asked of the commands themselves."""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib
import io
import re
from pathlib import Path

from tests.documentation.blocks import ROOT

# Pages show other people's programs as well; what they take is not ours to check.
OTHER_PROGRAMS = ("cd", "curl", "docker", "echo", "git", "source", "unzip")


@functools.cache
def flags_of(module: str) -> frozenset[str]:
    """Returns the names of the flags that a command's `--help` lists."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = importlib.import_module(module).main([module, "--help"])
    assert code == 0, module
    names = re.findall(r"^ +--(?:\[no\])?(\w+)", printed.getvalue(), re.M)
    assert names, printed.getvalue()
    return frozenset(names)


@functools.cache
def arguments_of(script: Path) -> frozenset[str]:
    """Returns the names of the options that a script adds to a parser."""
    tree = ast.parse(script.read_text("utf-8"))
    return frozenset(
        node.value.removeprefix("--")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"--\w+", node.value)
    )


def console_scripts() -> dict[str, str]:
    """Returns the module in a checkout of each console script of setup.py."""
    text = (ROOT / "setup.py").read_text("utf-8")
    return dict(re.findall(r'"(keras-convnext-\w+)": "([\w.]+)"', text))


def module_of(words: list[str]) -> tuple[str | None, list[str]]:
    """Returns the project's command that words call, and its arguments."""
    name = Path(words[0]).name
    if name in console_scripts():
        return console_scripts()[name], words[1:]
    ours = [word.partition(".")[0] in ("training", "export") for word in words[2:3]]
    if name.startswith("python") and words[1:2] == ["-m"] and any(ours):
        return words[2], words[3:]
    return None, words


def problem(words: list[str]) -> str | None:
    """Returns the problem with a command, or nothing.

    Args:
        words: The command, split.
    """
    module, arguments = module_of(words)
    if module is not None:
        return _unknown_flags(arguments, flags_of(module) | {"help"})
    name = Path(words[0]).name
    if name == "make":
        targets = _make_targets()
        wrong = [w for w in words[1:] if "=" not in w and w not in targets]
        return f"no target {wrong}" if wrong else None
    if name.startswith("python"):
        return _script_problem(words[1:])
    if name == "pip":
        return _extras_problem(words)
    if (ROOT / words[0]).is_file() or name in OTHER_PROGRAMS:
        return None
    return f"{words[0]} is no program that is known here"


def _unknown_flags(
    arguments: list[str], known: frozenset[str] | set[str]
) -> str | None:
    flags = [word[2:].partition("=")[0] for word in arguments if word[:2] == "--"]
    unknown = [f for f in flags if f not in known and f.removeprefix("no") not in known]
    return f"no flag {unknown}; there are {sorted(known)}" if unknown else None


@functools.cache
def _make_targets() -> frozenset[str]:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    return frozenset(re.findall(r"^([a-z-]+):", makefile, re.M))


def _script_problem(words: list[str]) -> str | None:
    if words[0] == "-m":
        if words[1] in ("pip", "pytest", "venv", "http.server", "tensorboard.main"):
            return _extras_problem(words) if words[1] == "pip" else None
        script = ROOT / f"{words[1].replace('.', '/')}.py"
        words = words[2:]
    elif words[0] == "-c":
        ast.parse(words[1])
        return None
    else:
        script = ROOT / words[0]
        words = words[1:]
    if not script.is_file():
        return f"there is no {script.relative_to(ROOT)}"
    return _unknown_flags(words, arguments_of(script) | {"help"})


def _extras_problem(words: list[str]) -> str | None:
    setup = (ROOT / "setup.py").read_text("utf-8")
    wanted = re.findall(r"(?:^\.|keras-convnext)\[([\w,]+)\]", " ".join(words))
    wanted += re.findall(r"\.\[([\w,]+)\]", " ".join(words))
    names = {name for group in wanted for name in group.split(",")}
    unknown = [name for name in names if f'"{name}": ' not in setup]
    return f"no extra {unknown}" if unknown else None
