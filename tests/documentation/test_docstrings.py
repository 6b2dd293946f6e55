"""Every public name says what it takes, gives and raises, and has an example that runs.

Public is what `keras_convnext` and its packages list in `__all__`, and what stands on
the pages of docs/reference/.
"""

import dataclasses
import doctest
import importlib
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

import keras_convnext
from keras_convnext import (
    detection,
    layers,
    pretraining,
    roadmap,
    segmentation,
    weights,
)
from tests.documentation.blocks import ROOT

REFERENCE = "\n".join(
    page.read_text("utf-8") for page in sorted(ROOT.glob("docs/reference/*.md"))
)


def named(name: str) -> Any:
    """Returns the object of a dotted name."""
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


LISTED = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (
        keras_convnext,
        detection,
        layers,
        pretraining,
        roadmap,
        segmentation,
        weights,
    )
    for name in module.__all__
}
PUBLIC = LISTED | {
    name: named(name) for name in re.findall(r"^::: (\S+)$", REFERENCE, re.MULTILINE)
}
# `class_names` keeps what it has read.
FUNCTIONS = {n: v for n, v in PUBLIC.items() if inspect.isfunction(inspect.unwrap(v))}
CLASSES = {n: v for n, v in PUBLIC.items() if inspect.isclass(v)}

# Arguments whose names say what they measure, and words one of which says in what.
UNITS = {
    r"size(?!_bytes)|side|patch|(?<!by_)stride|kernel|pixels": r"[Pp]ixel|positions",
    r"rate$|factor|fraction|beta|lr_scale|head_init": r"[Pp]robability|[Ff]actor|"
    r"[\[(]0, 1[)\]]|over the shorter side|number or a schedule",
    r"bytes": r"[Bb]ytes|Length",
    r"steps?$": r"[Ss]teps?",
    r"^(mean|std)$": r"scale 0\.\.1",
    r"depths": r"[Bb]locks",
    r"widths?|channels": r"[Cc]hannels|[Bb]locks|in pixels|in cells",
}
# A tensor's or an array's shape, or that any will do.
SHAPE = r"\((batch\b|height\b|\.\.\.)[^)]*\)|any shape|scalar string"
TENSORS = r"x|images?|preds|contents|inputs"

# What is nobody's but this project's: names of things, files, and Keras' own means.
OWN = {
    "keras_convnext.inference.classifier.Classifier",
    "keras_convnext.inference.detector.Detector",
    "keras_convnext.inference.segmenter.Segmenter",
    "keras_convnext.load",
    *(f"keras_convnext.{name}" for name in ("create", "describe", "list_variants")),
    *(f"keras_convnext.{name}" for name in ("list_weights", "load_weights")),
    *("keras_convnext.save_weights_as", "keras_convnext.models.layers_by_name"),
    *("keras_convnext.preprocess_input", "keras_convnext.decode_predictions"),
    "keras_convnext.segmentation.list_upernets",
    "keras_convnext.detection.list_detectors",
    *(f"keras_convnext.detection.{name}" for name in ("Objects", "draw_objects")),
    "keras_convnext.segmentation.overlay",
    *("keras_convnext.fold", "keras_convnext.folding.folding_report"),
    *(f"keras_convnext.image.{name}" for name in ("decode", "evaluation_view")),
    *("keras_convnext.labels.class_names", "keras_convnext.optimizers.ParameterGroup"),
    "keras_convnext.preprocessing.Preprocessing",
    *(f"keras_convnext.hub.{name}" for name in ("push_to_hub", "pull_from_hub")),
    *(f"keras_convnext.variants.{name}" for name in ("StemConv", "Variant")),
    *(f"keras_convnext.variants.{name}" for name in ("overlap", "patchify")),
    "keras_convnext.variants.multiply_accumulates",
    *(f"keras_convnext.weights.{name}" for name in weights.__all__),
    *(
        f"keras_convnext.layers.{name}"
        for name in ("Activation", "Dense", "DepthwiseConv2D", "Rematerialized")
    ),
    # What `fold` puts in the place of other layers.
    *(
        f"keras_convnext.layers.{name}"
        for name in ("PointwiseMLP", "ScaleByInverseStd")
    ),
    *(
        f"keras_convnext.roadmap.{name}"
        for name in ("Design", "Row", "Step", "Table", "design", "parameters")
    ),
    *(f"keras_convnext.roadmap.{name}" for name in ("multiply_accumulates", "reduced")),
}

NEEDS_A_NETWORK = {
    "keras_convnext.weights.DownloadError",
    "keras_convnext.hub.push_to_hub",
    "keras_convnext.hub.pull_from_hub",
}


def entries(documented: Any, section: str) -> set[str]:
    """Returns the names that a section of a docstring describes."""
    text = inspect.getdoc(documented) or ""
    found = re.search(rf"^{section}:\n((?:    .*\n?|\n)+)", text, re.MULTILINE)
    names = re.findall(r"^    (\*{0,2}\w+):", found[1], re.MULTILINE) if found else []
    return {name.lstrip("*") for name in names}


def entry(documented: Any, name: str) -> str:
    """Returns a docstring's text for one argument or attribute."""
    text = inspect.getdoc(documented) or ""
    found = re.search(
        rf"^    \*{{0,2}}{name}:(.*?)(?=^    \S|^\S|\Z)", text, re.MULTILINE | re.DOTALL
    )
    return " ".join(found[1].split()) if found else ""


def taken_by(documented: Any) -> set[str]:
    """Returns the names of a function's arguments, or of what a class is made of."""
    if dataclasses.is_dataclass(documented):
        return {field.name for field in dataclasses.fields(documented)}
    if inspect.isclass(documented):
        made = vars(documented).get("__init__")
        return parameters(made) if made else set()
    return parameters(documented)


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


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES])
def test_what_measures_something_says_in_what_unit(name: str) -> None:
    documented = PUBLIC[name]
    without = []
    for taken in taken_by(documented) & set().union(
        entries(documented, "Args"), entries(documented, "Attributes")
    ):
        wanted = [
            words for pattern, words in UNITS.items() if re.search(pattern, taken)
        ]
        told = f"{taken} {entry(documented, taken)}".replace("_px", " in pixels")
        if any(re.search(words, told) is None for words in wanted):
            without.append(told)
    assert without == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_says_the_shapes_of_tensors_and_of_what_a_model_takes(
    name: str,
) -> None:
    function = FUNCTIONS[name]
    tensors = [a for a in taken_by(function) if re.fullmatch(TENSORS, a)]
    told = {argument: entry(function, argument) for argument in tensors}
    assert {a: words for a, words in told.items() if not re.search(SHAPE, words)} == {}
    if "Model" in str(inspect.signature(function).return_annotation):
        assert re.search(SHAPE, inspect.getdoc(function) or "")


@pytest.mark.parametrize(
    "name",
    [name for name, kind in CLASSES.items() if issubclass(kind, keras.layers.Layer)],
)
def test_a_layer_says_the_shape_of_what_it_takes(name: str) -> None:
    assert re.search(SHAPE, inspect.getdoc(CLASSES[name]) or "")


def test_what_was_published_names_its_source_and_the_rest_is_listed_as_own() -> None:
    documented = {**FUNCTIONS, **CLASSES}
    source = r"Source: .*(arXiv:\d{4}\.\d{4,5}|github\.com|torch|timm)"
    without = {
        name
        for name, value in documented.items()
        if not re.search(source, " ".join((inspect.getdoc(value) or "").split()))
    }
    assert without == OWN & documented.keys()


def test_the_reference_has_every_public_name() -> None:
    shown = set(re.findall(r"^::: (?:\w+\.)+(\w+)$", REFERENCE, re.MULTILINE))
    shown |= set(re.findall(r"`(?:keras_convnext\.)?(\w+)`", REFERENCE))
    # "`ConvNeXtAtto`, `Femto`": the builders are one function.
    names = {name.rpartition(".")[2] for name in LISTED}
    assert {
        n for n in names if n.removeprefix("ConvNeXt") not in shown
    } - shown == set()


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


def example_of(documented: Any) -> str:
    """Returns a docstring's example, prompts included; nothing if it has none."""
    text = inspect.getdoc(documented) or ""
    found = re.search(r"^Example:\n((?:    .*\n?|\n)+)", text, re.MULTILINE)
    return found[1] if found else ""


# One of several names for a thing; the builders differ by name alone, and building the
# large ones takes gigabytes.
ONCE = {
    id(documented): name
    for name, documented in {**FUNCTIONS, **CLASSES}.items()
    if not name.startswith("keras_convnext.ConvNeXt") or name.endswith("Atto")
}


# They build, save and load networks of tens of millions of parameters. What they call
# is tested with small ones; Classifier's, UPerNet's and MaskRCNN's examples stay.
LARGE = {
    "keras_convnext.detection.CascadeMaskRCNN",
    "keras_convnext.detection.find_objects",
    "keras_convnext.inference.detector.Detector",
    "keras_convnext.inference.segmenter.Segmenter",
    "keras_convnext.load",
    "keras_convnext.segmentation.predict_label_map",
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in LARGE else [])
        for name in ONCE.values()
    ],
)
def test_the_example_of_a_docstring_runs_and_gives_what_it_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    example = example_of(PUBLIC[name])
    if "import keras_hub" in example:
        pytest.importorskip("keras_hub")
    assert example.startswith("    >>> ")
    said: list[str] = []
    parsed = doctest.DocTestParser().get_doctest(example, {}, name, None, 0)
    ran = doctest.DocTestRunner().run(parsed, out=said.append)
    assert ran.failed == 0, "".join(said)
    # What needs a network is shown, and not run.
    assert ("+SKIP" in example) == (name in NEEDS_A_NETWORK)


def test_the_builders_have_one_example_with_their_own_name_in_it() -> None:
    builders = [n for n in keras_convnext.__all__ if n.startswith("ConvNeXt")]
    assert len(builders) == 22
    small = example_of(keras_convnext.ConvNeXtAtto)
    for name in builders:
        example = example_of(getattr(keras_convnext, name))
        assert example == small.replace("ConvNeXtAtto", name)


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
    def scaled(image: object, factor: float) -> object:
        """Returns the image times a factor.

        Args:
            image: `(height, width, 3)`,
                0..255.
        """
        return image if factor else None

    assert parameters(scaled) - entries(scaled, "Args") == {"factor"}
