"""Lists whose images have several labels, or a number."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training import data
from training.recipes.augmentation import Augmentation

SIZE_PX = 16
COUNT = 24


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for number in range(COUNT):
        Image.new("RGB", (20, 20), (10 * number, 0, 9)).save(tmp_path / f"{number}.png")
    return tmp_path


def write(folder: Path, head: str, *rows: object) -> str:
    lines = [head, *(f"{number}.png,{row}" for number, row in enumerate(rows))]
    (folder / "list.csv").write_text("\n".join(lines))
    return f"files:{folder / 'list.csv'}"


def load(spec: str, target: str, **options) -> data.Source:
    return data.load(spec, size_px=SIZE_PX, target=target, **options)


def refusal(spec: str, target: str) -> str:
    with pytest.raises(data.DataError) as caught:
        load(spec, target)
    return str(caught.value).replace(spec.removeprefix("files:"), "LIST")


def rows_of(source: data.Source) -> dict[int, list[float] | float]:
    """What is joined to each image, by its number, which its red is ten times."""
    batches = source.validation_batches(COUNT).as_numpy_iterator()
    images, labels, weights = next(batches)
    return {
        round(float(image[8, 8, 0]) / 10): label.tolist()
        for image, label, weight in zip(images, labels, weights, strict=True)
        if weight
    }


# Of the first images; the others have "b".
LABELS = ["a;b", "", "c; a", "b;b", " ; ", "c"]
EXPECTED = [[1, 1, 0], [0, 0, 0], [1, 0, 1], [0, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_semicolons_divide_labels_and_an_empty_cell_has_none(folder: Path):
    rest = ["b"] * (COUNT - len(LABELS))
    source = load(write(folder, "path,label", *LABELS, *rest), "labels", split="all")
    assert source.classes == ("a", "b", "c")
    found = rows_of(source)
    assert [found[number] for number in range(len(LABELS))] == EXPECTED
    assert found[20] == [0, 1, 0]


def test_json_lists_say_the_same(folder: Path):
    listed = [["a", "b"], [], ["c", "a"], ["b", "b"], None, "c"]
    rows = [{"path": f"{n}.png", "label": labels} for n, labels in enumerate(listed)]
    (folder / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
    source = load(f"files:{folder / 'list.jsonl'}", "labels", split="all")
    assert [rows_of(source)[number] for number in range(6)] == EXPECTED


def test_columns_of_0_and_1_are_labels_in_their_order(folder: Path):
    cells = ["0,1,1", "0,0,0", "1,True,0", "0,0,1", "false,0,0", "1,0,0"]
    spec = write(folder, "path,c,a,b", *cells)
    source = load(spec, "labels", split="all")
    assert source.classes == ("c", "a", "b")
    order = [2, 0, 1]
    assert [rows_of(source)[n] for n in range(6)] == [
        [EXPECTED[n][i] for i in order] for n in range(6)
    ]
    spec = write(folder, "path,c,camera", "1,x", "0,y", "2,1")
    assert refusal(spec, "labels") == (
        "LIST: 3 of 3 rows have a cell that is neither 0 nor 1 in a column of a label: "
        "'x' of camera (line 2), 'y' of camera (line 3), '2' of c (line 4)."
    )


def test_every_label_is_in_both_parts_of_a_drawn_split(folder: Path):
    labels = [
        "rare;common",
        "rare",
        *["common"] * 10,
        *["other;common"] * 2,
        *[""] * 10,
    ]
    spec = write(folder, "path,label", *labels)
    for seed in range(5):
        source = load(spec, "labels", seed=seed, validation_share=0.25)
        parts = source.training.labels, source.validation.labels
        assert all((part.sum(axis=0) > 0).all() for part in parts)
        assert sum(map(len, parts)) == COUNT
        assert not set(source.training.names()) & set(source.validation.names())
        # 0.25 of 24 is 6; each label rounds for itself, and has one at least.
        assert 4 <= len(parts[1]) <= 8
    assert source.drawn


def test_labels_that_cannot_be_learned_are_refused(folder: Path):
    spec = write(folder, "path,label", "a", "a", "b", "a")
    assert "One image alone cannot be split into training and evaluation: b." in (
        refusal(spec, "labels")
    )
    spec = write(folder, "path,label", "", "", "")
    assert refusal(spec, "labels") == "LIST: no training image has a label."
    spec = write(folder, "path,label,split", "a,train", "a;b,val", "a,train")
    assert "classes in its validation images that its training images have not: b" in (
        refusal(spec, "labels")
    )


def test_a_label_without_validation_images_gets_a_notice(folder: Path):
    spec = write(folder, "path,label,split", "a,train", "a;b,train", "a,val")
    (notice,) = load(spec, "labels").notices
    assert notice == "no validation image has b, which the figures leave out."


def test_mixing_takes_shares_of_the_labels_that_it_takes_of_the_pixels(folder: Path):
    labels = ["a", "a;b"] * 4
    source = load(write(folder, "path,label", *labels), "labels", split="all")
    options = {"epoch": 0, "seed": 1}
    batches = [
        next(source.train(8, augment=augment, **options).as_numpy_iterator())
        for augment in (Augmentation(), Augmentation(mixup=1.0))
    ]
    # An image is an equal red, so that its share can be seen.
    (reds, plain), (mixed, targets) = (
        (images[:, 8, 8, 0].astype(float), targets) for images, targets in batches
    )
    row = int(np.argmax(np.abs(reds - reds[::-1])))
    share = (mixed - reds[::-1])[row] / (reds - reds[::-1])[row]
    assert 0.02 < share < 0.98
    # The pixels are rounded to whole numbers, half of one in 50.
    expected = share * plain + (1 - share) * plain[::-1]
    np.testing.assert_allclose(targets, expected, atol=0.01)


NUMBERS = [1.5, "-2", "3e2", " 0.25 ", 7, 7]


def test_numbers_are_read_and_split_at_random(folder: Path):
    rest = list(range(100, 100 + COUNT - len(NUMBERS)))
    spec = write(folder, "path,label", *NUMBERS, *rest)
    found = rows_of(load(spec, "number", split="all"))
    assert [found[n] for n in range(6)] == [1.5, -2.0, 300.0, 0.25, 7.0, 7.0]
    source = load(spec, "number", validation_share=0.25)
    assert (source.train_examples, source.validation_examples) == (18, 6)
    assert source.classes == ()
    assert source.drawn
    images, numbers = source.validation_images([0, 1])
    assert numbers.dtype == np.float32
    assert numbers.tolist() == source.validation.labels[:2].tolist()


def test_what_is_no_number_is_refused(folder: Path):
    spec = write(folder, "path,label", 1, "tall", "", "nan", "inf")
    assert refusal(spec, "number").splitlines() == [
        "LIST: 3 of 5 rows have a label that is no finite number: 'tall' (line 3), "
        "'nan' (line 5), 'inf' (line 6).",
        "LIST: 1 of 5 rows has an empty label: line 4.",
    ]
    spec = write(folder, "path,label", 5, 5.0, "5")
    assert "the number 5 for every training image" in refusal(spec, "number")


def test_rows_with_other_labels_of_one_image_contradict_each_other(folder: Path):
    (folder / "list.csv").write_text("path,label\n0.png,a;b\n0.png,b;a\n1.png,b;a")
    spec = f"files:{folder / 'list.csv'}"
    assert "count" in load(spec, "labels", split="all").notices[0]
    (folder / "list.csv").write_text("path,label\n0.png,a;b\n0.png,a\n")
    assert "(a;b in line 2, a in line 3)" in refusal(spec, "labels")


def test_several_labels_where_one_is_wanted_lead_to_the_target(folder: Path):
    labels = ["a;b", "a;b", "a", "a"]
    (notice,) = load(write(folder, "path,label", *labels), "label").notices
    assert "a;b; --set target=labels makes several labels of them" in notice
    row = json.dumps({"path": "0.png", "label": ["a"]})
    (folder / "list.jsonl").write_text(row)
    assert "several labels, which --set target=labels takes: ['a'] (line 1)" in (
        refusal(f"files:{folder / 'list.jsonl'}", "label")
    )


@pytest.mark.parametrize("target", ["labels", "number"])
def test_only_lists_have_other_labels(folder: Path, target):
    (folder / "photos").mkdir()
    text = refusal(f"folder:{folder / 'photos'}", target)
    assert f"target={target} takes files:LIST.csv" in text
