"""Every public name says what it takes, gives and raises."""

import dataclasses
import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

import keras_convnext
from keras_convnext import layers, roadmap, weights

PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (keras_convnext, layers, roadmap, weights)
    for name in module.__all__
}
FUNCTIONS = {n: v for n, v in PUBLIC.items() if inspect.isfunction(v)}
CLASSES = {n: v for n, v in PUBLIC.items() if inspect.isclass(v)}


def entries(documented: Any, section: str) -> set[str]:
    """Returns the names that a section of a docstring describes."""
    text = inspect.getdoc(documented) or ""
    found = re.search(rf"^{section}:\n((?:    .*\n?|\n)+)", text, re.MULTILINE)
    names = re.findall(r"^    (\*{0,2}\w+):", found[1], re.MULTILINE) if found else []
    return {name.lstrip("*") for name in names}


def parameters(function: Callable[..., Any]) -> set[str]:
    """Returns the names of the arguments that are a function's own."""
    passed_on = inspect.Parameter.VAR_KEYWORD
    return {
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "self" and parameter.kind != passed_on
    }


def test_the_three_modules_and_what_they_offer_are_looked_at() -> None:
    assert len(FUNCTIONS) >= 35
    assert len(CLASSES) >= 12


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES])
def test_a_docstring_begins_with_a_sentence(name: str) -> None:
    first = (inspect.getdoc(PUBLIC[name]) or "").partition("\n\n")[0]
    assert re.fullmatch(r"[A-Z`].+[.:]", first, re.DOTALL), first


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_describes_every_argument_and_no_other(name: str) -> None:
    documented = entries(FUNCTIONS[name], "Args")
    taken = parameters(FUNCTIONS[name])
    assert taken <= documented
    assert documented - taken <= {"overrides"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_says_what_it_gives_back(name: str) -> None:
    function = FUNCTIONS[name]
    if inspect.signature(function).return_annotation in (None, "None"):
        return
    text = inspect.getdoc(function) or ""
    first = text.partition("\n\n")[0]
    says = re.match(r"(?:Returns|Builds|Loads|Writes|The)\b", first) is not None
    assert says or "Returns:\n" in text


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_that_raises_says_when(name: str) -> None:
    source = inspect.getsource(inspect.unwrap(FUNCTIONS[name]))
    raised = set(re.findall(r"^\s+raise (\w+)\(", source, re.MULTILINE))
    if name.rpartition(".")[2].startswith("ConvNeXt"):
        raised = {"ValueError"}
    assert raised - entries(FUNCTIONS[name], "Raises") == set()


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_describes_what_it_is_made_of(name: str) -> None:
    kind = CLASSES[name]
    if issubclass(kind, Exception):
        return
    if dataclasses.is_dataclass(kind):
        fields = {field.name for field in dataclasses.fields(kind)}
        assert fields <= entries(kind, "Attributes") | entries(kind, "Args")
    elif "__init__" in vars(kind):
        assert parameters(kind.__init__) <= entries(kind, "Args")


def test_an_argument_that_is_not_described_is_noticed() -> None:
    def scaled(picture: object, factor: float) -> object:
        """Returns the picture times a factor.

        Args:
            picture: `(height, width, 3)`,
                0..255.
        """
        return picture if factor else None

    assert parameters(scaled) - entries(scaled, "Args") == {"factor"}
