"""What is asked of formats is checked before any work, without their packages."""

import importlib.util
from types import SimpleNamespace

import pytest

from export import main as command
from export import pipeline
from export.convert.formats import FORMATS, USUAL, in_files, refuse_unwritable
from export.convert.precisions import PRECISIONS
from keras_convnext._messages import UsageError

PACKAGES = {"openvino", "nncf", "onnx", "onnxruntime", "tf2onnx"}


@pytest.fixture
def installed(monkeypatch):
    """Sets which of the formats' packages are there; at first, all."""
    present = set(PACKAGES)
    found = importlib.util.find_spec

    def find_spec(name):
        if name in PACKAGES:
            return object() if name in present else None
        return found(name)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    return present


def test_every_precision_is_one_of_the_table():
    for each in FORMATS.values():
        assert set(each.precisions) <= set(PRECISIONS)
    # Each of the table is had by a format.
    had = {name for each in FORMATS.values() for name in each.precisions}
    assert had == set(PRECISIONS)


def test_what_is_written_unasked_needs_no_extra():
    assert USUAL == ("saved_model", "tflite")
    assert not any(FORMATS[name].packages for name in USUAL)
    assert in_files(USUAL) == ["tflite"]


@pytest.mark.parametrize(
    ("formats", "precisions", "words"),
    [
        (["tflite"], ["float32", "bfloat16"], "--precision: tflite has no bfloat16; "),
        (["openvino"], ["int16x8"], "it has float32, bfloat16, float16, int8"),
        (["onnx"], ["int16x8", "bfloat16"], "onnx has no int16x8 and no bfloat16"),
        (["tflite", "openvino"], ["dynamic_int8"], "openvino has no dynamic_int8"),
    ],
)
def test_a_precision_that_a_format_lacks_is_refused_in_a_line(
    installed, formats, precisions, words
):
    with pytest.raises(UsageError) as refused:
        refuse_unwritable(formats, precisions)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_precisions_that_all_have_are_taken(installed):
    refuse_unwritable(["saved_model", "tflite", "openvino"], ["float32", "int8"])
    # A SavedModel is float32 beside files of any precision.
    refuse_unwritable(["saved_model"], ["int8"])


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_a_missing_package_is_told_with_the_command_that_brings_it(installed, package):
    installed.remove(package)
    name = "openvino" if package in ("openvino", "nncf") else "onnx"
    with pytest.raises(UsageError) as refused:
        refuse_unwritable([name], ["float32"])
    expected = f"--format={name} needs {package}: pip install 'keras-convnext[{name}]'"
    assert str(refused.value) == expected
    # The others do without it.
    refuse_unwritable([*USUAL, *({"openvino", "onnx"} - {name})], ["float32"])


def source(kind):
    return SimpleNamespace(name="m.keras", meaning=SimpleNamespace(kind=kind))


@pytest.mark.parametrize(
    ("kind", "name", "any_size", "words"),
    [
        ("objects", "openvino", False, "can be written as saved_model, tflite"),
        ("objects", "tflite", True, "--any_size is not for m.keras"),
        ("label_map", "openvino", True, "--any_size is not for --format=openvino"),
        ("label_map", "onnx", True, "--format=tflite takes any"),
    ],
)
def test_what_a_kind_of_model_cannot_be_written_as_is_refused_in_a_line(
    kind, name, any_size, words
):
    with pytest.raises(UsageError) as refused:
        pipeline.refuse_impossible(source(kind), [name], ["float32"], any_size)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "words"), [("objects", "of boxes round them"), ("label_map", "it resizes")]
)
def test_integers_alone_are_for_what_answers_about_a_whole_image(kind, words):
    with pytest.raises(UsageError) as refused:
        pipeline.refuse_impossible(source(kind), ["tflite"], ["integer"], False)
    assert "--precision=integer is not for m.keras" in str(refused.value)
    assert words in str(refused.value)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid", "features", "label_map"])
def test_other_kinds_have_every_format(kind):
    # A page shows the classes of an image.
    formats = [name for name in FORMATS if name != "web"]
    pipeline.refuse_impossible(source(kind), in_files(formats), ["int8"], False)


def test_the_command_ends_before_any_work(installed, workdir, tmp_path, capsys):
    out = tmp_path / "out"
    asked = ["export", f"--model={workdir}", f"--out={out}", "--format=openvino"]
    assert command.main([*asked, "--precision=int16x8"]) == 2
    assert "openvino has no int16x8" in capsys.readouterr().err
    installed.clear()
    assert command.main(asked) == 2
    assert "pip install 'keras-convnext[openvino]'" in capsys.readouterr().err
    assert not out.exists()
