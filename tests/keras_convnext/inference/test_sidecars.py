"""Class names and preprocessing beside a model, as people's editors save them."""

import json

import pytest

from keras_convnext.inference.sidecars import (
    LABELS,
    PREPROCESSING,
    find_labels,
    find_preprocessing,
    read_preprocessing,
)
from keras_convnext.preprocessing import IMAGENET, Preprocessing

NAMES = ("cat", "dog", "Käfer")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("ends", ["", "\n", "\r\n\r\n"])
def test_names_are_read_however_an_editor_saves_them(
    tmp_path, encoding, line_end, ends
):
    # Notepad's "UTF-16 LE" begins with a mark that Python writes for "utf-16" alone.
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    text = mark + line_end.join(NAMES) + ends
    (tmp_path / LABELS).write_bytes(text.encode(encoding))
    assert find_labels(tmp_path / "model.keras", 3) == (NAMES, ())


def test_names_in_a_windows_code_page_are_read_and_told(tmp_path):
    (tmp_path / LABELS).write_bytes("\r\n".join(NAMES).encode("cp1252"))
    names, [notice] = find_labels(tmp_path / "model.keras", 3)
    assert names == NAMES
    assert f"{tmp_path / LABELS} is not UTF-8" in notice
    assert "'Käfer'" in notice


def test_a_name_may_hold_what_python_takes_for_the_end_of_a_line(tmp_path):
    (tmp_path / LABELS).write_text("one\x0btwo\nthree\u2028four\n", "utf-8")
    names, _ = find_labels(tmp_path / "model.keras", 2)
    assert names == ("one\x0btwo", "three\u2028four")


@pytest.mark.parametrize("contents", [b"c\0a\0t\0", b"\x81\x8d", b"\xff\xfec"])
def test_what_is_no_text_is_refused_by_name(tmp_path, contents):
    (tmp_path / LABELS).write_bytes(contents)
    with pytest.raises(ValueError, match=r"labels\.txt is no text: save it as UTF-8"):
        find_labels(tmp_path / "model.keras", 3)


def test_one_output_has_one_name_or_those_of_0_and_1(tmp_path):
    model = tmp_path / "model.keras"
    for names in (("dog",), ("cat", "dog")):
        (tmp_path / LABELS).write_text("\n".join(names))
        assert find_labels(model, 1)[0] == names
    (tmp_path / LABELS).unlink()
    assert find_labels(model, 1)[0] == ("class 0", "class 1")
    (tmp_path / LABELS).write_text("a\nb\nc")
    with pytest.raises(ValueError, match="has 3 lines, but the model has 1 output:"):
        find_labels(model, 1)


def test_one_class_of_objects_is_one_name(tmp_path):
    model = tmp_path / "model.keras"
    assert find_labels(model, 1, is_binary=False)[0] == ("class 0",)
    (tmp_path / LABELS).write_text("cell")
    assert find_labels(model, 1, is_binary=False)[0] == ("cell",)
    (tmp_path / LABELS).write_text("none\ncell")
    with pytest.raises(ValueError, match=r"has 2 lines, but .* 1 output: give 1 line,"):
        find_labels(model, 1, is_binary=False)


def test_a_preprocessing_says_what_it_means_to_and_the_rest_is_usual(tmp_path):
    record = {"crop_mode": "squash", "interpolation": "bilinear", "antialias": False}
    (tmp_path / PREPROCESSING).write_text(json.dumps(record), "utf-8-sig")
    assert find_preprocessing(tmp_path / "model.keras", 96) == Preprocessing(
        size_px=96, crop_mode="squash", interpolation="bilinear", antialias=False
    )
    assert read_preprocessing(tmp_path / PREPROCESSING).size_px == IMAGENET.size_px


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ('{"size_px": "96"}', "size_px is '96', not a whole number"),
        ('{"size_px": 64}', "says 64 px, but the model takes 96 px"),
        ('{"mean": 0.5, "std": [1]}', "mean is 0.5, not a list of numbers"),
        ('{"mean": [0.5], "std": [NaN]}', "std is"),
        ('{"mean": [0.5]}', "not one number a channel"),
        ('{"crop": 1}', "there is no crop, only size_px, mean"),
        ('{"antialias": 1}', "antialias is 1, not true or false"),
        ('{"crop_mode": ["center"]}', "crop_mode is"),
        ("[96]", "it is no JSON object"),
        ('{"size_px": 96', "does not describe a preprocessing"),
        ("", "does not describe a preprocessing"),
    ],
)
def test_a_preprocessing_that_is_none_is_one_line(tmp_path, record, words):
    (tmp_path / PREPROCESSING).write_text(record)
    with pytest.raises(ValueError, match=r"preprocessing\.json") as caught:
        find_preprocessing(tmp_path / "model.keras", 96)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_mean_and_deviation_are_asked_for_where_they_are_needed(tmp_path):
    (tmp_path / PREPROCESSING).write_text('{"size_px": 96}')
    with pytest.raises(ValueError, match="mean and std are missing"):
        find_preprocessing(tmp_path / "model.keras", 96, needs_normalization=True)
