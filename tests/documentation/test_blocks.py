"""Every block of code in README, CONTRIBUTING and docs/ is right as far as is quick.

Python is compiled, what it imports of the project is there, and its calls of public
functions have arguments that these take. Commands are parsed against their real flags.
`test_blocks_run.py` runs them.
"""

import ast
import importlib
import inspect
import itertools
import json

import pytest

import keras_convnext
from tests.documentation.blocks import ALL, COMMANDS, OTHER_LANGUAGES, Block, commands
from tests.documentation.command_lines import module_of, problem

PYTHON = [block for block in ALL if block.language == "python"]
SHELL = [block for block in ALL if block.language in COMMANDS]
OURS = ("keras_convnext", "training", "export")


def test_there_are_blocks_of_both_kinds_on_many_pages() -> None:
    assert len({block.page for block in PYTHON}) >= 6
    assert len({block.page for block in SHELL}) >= 5


def test_every_fence_names_a_language_that_is_known() -> None:
    known = ("", "python", *COMMANDS, *OTHER_LANGUAGES)
    assert [str(block) for block in ALL if block.language not in known] == []


def test_every_block_that_is_not_run_says_why() -> None:
    reasons = [b for b in ALL if b.directive == "not run" and len(b.argument) < 10]
    assert [str(block) for block in reasons] == []


def test_every_block_of_commands_is_run_or_says_why_it_is_not() -> None:
    assert [str(block) for block in SHELL if not block.directive] == []


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_compiles_and_what_it_imports_is_there(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module.partition(".")[0] in OURS:
                module = importlib.import_module(node.module)
                for alias in node.names:
                    if not hasattr(module, alias.name):
                        importlib.import_module(f"{node.module}.{alias.name}")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] in OURS:
                    importlib.import_module(alias.name)


def dotted(node: ast.expr) -> str:
    """Returns `a.b.c` of an expression that is that, or nothing."""
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_calls_of_public_functions_have_arguments_that_these_take(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        name = dotted(node) if isinstance(node, ast.Attribute) else ""
        if name.startswith("keras_convnext."):
            found = keras_convnext
            for part in name.split(".")[1:]:
                if not hasattr(found, part):
                    importlib.import_module(f"{found.__name__}.{part}")
                found = getattr(found, part)
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        public = name.removeprefix("keras_convnext.")
        if public == name or public not in keras_convnext.__all__:
            continue
        named = {keyword.arg: None for keyword in node.keywords if keyword.arg}
        starred = any(isinstance(a, ast.Starred) for a in node.args)
        signature = inspect.signature(getattr(keras_convnext, public))
        if not starred and len(named) == len(node.keywords):
            signature.bind(*node.args, **named)


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_commands_are_there_and_have_the_flags_that_are_written(block: Block) -> None:
    found = commands(block)
    assert found
    problems = {" ".join(words): problem(words) for words in found}
    assert {c: wrong for c, wrong in problems.items() if wrong} == {}


def test_recipes_and_their_fields_are_there() -> None:
    from training.recipes import table

    seen = 0
    for block in SHELL:
        for words in commands(block):
            module, arguments = module_of(words)
            if module != "training.main":
                continue
            named = dict(
                word[2:].split("=", 1)
                for word in arguments
                if word.startswith("--") and "=" in word
            )
            changes = [
                value
                for flag, value in itertools.pairwise(arguments)
                if flag == "--set"
            ]
            if named.get("recipe", "help") != "help":
                table.resolve(named["recipe"], changes)
                seen += 1
    assert seen >= 4


@pytest.mark.parametrize(
    "block", [block for block in ALL if block.language == "json"], ids=str
)
def test_json_is_json(block: Block) -> None:
    json.loads(block.text)


def test_a_wrong_flag_target_script_and_extra_are_noticed() -> None:
    wrong = (
        "python -m training.main --recpie=demo",
        "keras-convnext-export --modle=x",
        "make dem",
        "python docs/variants_tabel.py",
        "python docs/variants_table.py --chekc",
        'pip install ".[gpus]"',
        "unheard_of --flag",
    )
    for command in wrong:
        block = Block("page", 1, "bash", command, "", "")
        assert problem(commands(block)[0]) is not None, command
