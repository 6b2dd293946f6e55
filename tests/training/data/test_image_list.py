"""Images listed in a table with their labels, and every mistake made with it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_convnext._messages import UsageError
from training import data
from training.inference import inputs
from training.recipes.augmentation import Augmentation
from training.workdir.layout import Workdir

SIZE_PX = 16
NAMES = [f"images/{name}{number}.png" for name in "ab" for number in range(4)]
LABELS = ["ant", "ant", "ant", "ant", "bee", "bee", "bee", "bee"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "images").mkdir()
    for number, name in enumerate(NAMES):
        Image.new("RGB", (20, 24), (20 * number, 99, 3)).save(tmp_path / name)
    return tmp_path


def write(file: Path, head: str, *rows: str, end: str = "\n", **save) -> Path:
    file.write_text(end.join([head, *rows]) + end, newline="", **save)
    return file


def paired(*more: str) -> list[str]:
    """Rows of path, label and what else is given."""
    rows = zip(NAMES, LABELS, *([more] if more else []), strict=True)
    return [",".join(row) for row in rows]


def load(file: Path, **options) -> data.Source:
    return data.load(f"files:{file}", size_px=SIZE_PX, **options)


def refusal(file: Path, **options) -> str:
    with pytest.raises(data.DataError) as caught:
        load(file, **options)
    return str(caught.value)


def pixels_and_labels(source: data.Source) -> tuple[list, list]:
    """All that a run sees of a source: an epoch of training, and the validation."""
    options = {"epoch": 0, "seed": 3, "augment": Augmentation(flip=True)}
    train = source.train(1, **options, drop_remainder=False).as_numpy_iterator()
    validation = source.validation_batches(1).as_numpy_iterator()
    seen = [*train, *validation]
    return [each[0] for each in seen], [each[1].tolist() for each in seen]


def test_a_list_gives_what_the_same_class_folders_give(folder: Path):
    listed = load(write(folder / "list.csv", "path,label", *paired()))
    for name, label in zip(NAMES, LABELS, strict=True):
        (folder / "classes" / label).mkdir(parents=True, exist_ok=True)
        (folder / name).rename(folder / "classes" / label / Path(name).name)
    folders = data.load(f"folder:{folder / 'classes'}", size_px=SIZE_PX)
    # Its files are gone by now, and the tensors are made when they are asked for.
    for name, label in zip(NAMES, LABELS, strict=True):
        image = Image.open(folder / "classes" / label / Path(name).name)
        image.save(folder / name)
    assert listed.classes == folders.classes == ("ant", "bee")
    assert listed.drawn
    assert folders.drawn
    assert listed.preprocessing == folders.preprocessing
    pixels, labels = pixels_and_labels(listed)
    pixels_of_folders, labels_of_folders = pixels_and_labels(folders)
    assert labels == labels_of_folders
    np.testing.assert_array_equal(pixels, pixels_of_folders)


@pytest.mark.parametrize(
    "save",
    [
        {},
        {"end": "\r\n", "encoding": "utf-8-sig"},
        {"end": "\r\n", "encoding": "utf-16"},
    ],
)
@pytest.mark.parametrize("head", ["path,label", "file,label", "image,label"])
def test_any_editor_may_have_saved_it(folder: Path, save, head):
    rows = [row.replace("bee", "Käfer") for row in paired()]
    source = load(write(folder / "list.csv", head, *rows, **save))
    assert source.classes == ("Käfer", "ant")
    assert source.train_examples + source.validation_examples == len(NAMES)


def test_tabs_semicolons_and_quotation_marks_are_read(folder: Path):
    rows = [row.replace(",", ";").replace("bee", '"bee; wild"') for row in paired()]
    assert load(write(folder / "l.csv", "path;label", *rows)).classes[1] == "bee; wild"
    rows = [row.replace(",", "\t") for row in paired()]
    assert load(write(folder / "l.tsv", "path\tlabel", *rows)).classes[1] == "bee"


def test_json_lines_are_read(folder: Path):
    rows = [
        json.dumps({"label": label, "path": name, "camera": 3})
        for name, label in zip(NAMES, LABELS, strict=True)
    ]
    assert load(write(folder / "list.jsonl", rows[0], *rows[1:])).classes == (
        "ant",
        "bee",
    )
    file = write(folder / "list.jsonl", rows[0], "[1]")
    assert refusal(file) == f"{file}, line 2 is no JSON object."


def test_paths_are_relative_to_the_list_and_may_have_backslashes(
    folder: Path, monkeypatch
):
    (folder / "lists").mkdir()
    rows = [f"../{row}" for row in paired()]
    rows[0] = f"{folder / NAMES[0]},ant"
    rows[1] = rows[1].replace("/", "\\")
    monkeypatch.chdir(folder / "lists")
    source = load(write(Path("list.csv"), "path,label", *rows))
    assert source.train_examples + source.validation_examples == len(NAMES)


SPLITS = ["train", "val", "test", "Training", "train", "valid", "testing", "train"]


def test_the_column_split_says_what_an_image_is_for(folder: Path):
    file = write(folder / "list.csv", "path,label,split", *paired(*SPLITS))
    source = load(file)
    assert not source.drawn
    assert names(source.training) == [NAMES[0], NAMES[3], NAMES[4], NAMES[7]]
    assert names(source.validation) == [NAMES[1], NAMES[5]]
    assert names(load(file, split="test").validation) == [NAMES[2], NAMES[6]]
    assert names(load(file, split="train").validation) == names(source.training)
    assert names(load(file, split="all").validation) == NAMES


def names(examples) -> list[str]:
    return ["/".join(Path(name).parts[-2:]) for name in examples.names()]


def test_test_images_validate_where_none_are_for_it_and_train_alone_is_divided(
    folder: Path,
):
    splits = ["train", "train", "train", "test"] * 2
    file = write(folder / "list.csv", "path,label,split", *paired(*splits))
    assert names(load(file).validation) == [NAMES[3], NAMES[7]]
    file = write(folder / "list.csv", "path,label,split", *paired(*["train"] * 8))
    assert load(file, validation_share=0.25).validation_examples == 2
    assert refusal(file, split="test").endswith("has no rows whose split is test.")
    file = write(folder / "list.csv", "path,label,split", *paired(*["val"] * 8))
    assert refusal(file).endswith("has no rows whose split is train.")


def test_missing_columns_are_named_with_those_there_are(folder: Path):
    file = write(folder / "list.csv", "photo,species", "images/a0.png,ant")
    assert refusal(file) == (
        f"{file} has no column path (or file, file_name, image); it has 'photo', "
        "'species'. The first line names the columns."
    )
    file = write(folder / "list.csv", "path,species", "images/a0.png,ant")
    assert refusal(file) == (
        f"{file} has no column label; it has 'path', 'species'. The first line names "
        "the columns; a column of 0 and 1 for each label is for --set target=labels."
    )
    # Without a header the first image is taken for it.
    file = write(folder / "list.csv", *paired())
    assert "it has 'images/a0.png', 'ant'" in refusal(file)


def test_all_problems_with_rows_come_together_counted_with_the_first_few(folder: Path):
    rows = paired(*["train"] * 8)
    rows[1] = "images/gone.png,ant,train"
    rows[2] = "images/a2.png, ,train"
    rows[3] = ",ant,train"
    rows[4] = "images/b0.png,bee,later"
    rows += [f"images/no{number}.png,bee,val" for number in range(7)]
    rows += ["images/b1.png,ant,train", "images/./b2.png,bee,test"]
    lines = refusal(write(folder / "list.csv", "path,label,split", *rows)).splitlines()
    start = f"{folder / 'list.csv'}: "
    assert lines == [
        f"{start}1 of 17 rows has an empty label: line 4.",
        f"{start}1 of 17 rows has an empty path: line 5.",
        f"{start}1 of 17 rows has a split that is none of train, validation and test: "
        "'later' (line 6).",
        f"{start}8 of 17 files do not exist (--skip_bad_images leaves them out): "
        f"{folder}/images/gone.png (line 3), "
        + ", ".join(f"{folder}/images/no{n}.png (line {10 + n})" for n in range(4))
        + ", and 3 more.",
        f"{start}2 of 14 files have rows that contradict each other: "
        f"{folder}/images/b1.png (bee train in line 7, ant train in line 17), "
        f"{folder}/images/b2.png (bee train in line 8, bee test in line 18).",
    ]


def test_equal_rows_count_once_with_a_notice(folder: Path):
    rows = [*paired(), "images/a0.png,ant", "./images/a0.png,ant"]
    source = load(write(folder / "list.csv", "path,label", *rows))
    assert source.train_examples + source.validation_examples == len(NAMES)
    assert source.notices == (
        "One image is listed more than once, alike, and counts once: "
        f"{folder}/images/a0.png (lines 2, 10, 11).",
    )


def test_classes_must_be_in_the_training_images(folder: Path):
    splits = ["train", "train", "train", "val"] * 2
    rows = paired(*splits)
    rows[7] = "images/b3.png,Bee,val"
    assert refusal(write(folder / "list.csv", "path,label,split", *rows)) == (
        f"{folder / 'list.csv'} has classes in its validation images that its training "
        "images have not: Bee. 'Bee' and 'bee' differ in upper and lower case or "
        "spaces."
    )


def test_a_class_with_one_image_cannot_be_divided_and_one_class_not_learned(
    folder: Path,
):
    rows = paired()[:5]
    assert "column split with train and val in it" in refusal(
        write(folder / "list.csv", "path,label", *rows)
    )
    file = write(folder / "list.csv", "path,label", *rows[:4])
    assert "has one class only, 'ant'" in refusal(file)
    assert load(file, split="all").classes == ("ant",)


def test_bad_files_are_refused_or_left_out_and_named(folder: Path):
    (folder / NAMES[0]).write_bytes(b"\x89PNG\r\n\x1a\nno more")
    (folder / NAMES[1]).unlink()
    file = write(folder / "list.csv", "path,label", *paired())
    assert "1 of 8 files do not exist" in refusal(file)
    source = load(file, skip_bad_images=True)
    assert source.train_examples + source.validation_examples == 6
    assert [Path(path).name for path, _ in source.skipped] == ["a1.png", "a0.png"]


@pytest.mark.parametrize(
    ("name", "contents", "said"),
    [
        ("list.csv", b"", "list.csv is empty."),
        ("list.csv", b"path,label\n", "list.csv has no rows below its header."),
        ("list.csv", b"path,label,label\na,b,c\n", "has several columns label."),
        (
            "list.csv",
            b"path,label\na\nb,c\nd,e,f\n",
            "2 of 3 rows have not as many cells as the header, 2: lines 2, 4.",
        ),
        ("list.csv", b'path,label\n"a,b\n', "line 2: unexpected end of data."),
        ("list.csv", b"path\0label", "is no text: save it as UTF-8."),
        ("list.parquet", b"PAR1", "ends in none of .csv, .tsv, .jsonl, .ndjson."),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_a_line(
    folder: Path, name, contents, said
):
    (folder / name).write_bytes(contents)
    text = refusal(folder / name)
    assert "\n" not in text
    assert said in text


def test_a_list_that_is_not_there_is_named(folder: Path):
    assert refusal(folder / "list.csv") == f"There is no list {folder / 'list.csv'}."


def test_predict_takes_the_images_of_a_list(folder: Path):
    file = write(folder / "list.csv", "path,label", *paired())
    assert inputs.list_images([f"files:{file}"]) == [str(folder / n) for n in NAMES]
    with pytest.raises(UsageError, match="There is no list"):
        inputs.list_images(["files:none.csv"])


def test_a_run_is_not_resumed_with_a_changed_list(folder: Path):
    file = write(folder / "list.csv", "path,label", *paired())
    workdir = Workdir(folder / "run")
    first = load(file)
    workdir.claim(first.counts(), first.classes)
    workdir.claim(load(file).counts(), first.classes)
    fewer = load(write(file, "path,label", *paired()[:-1]))
    with pytest.raises(UsageError, match="train_examples=6 there and 5 here"):
        workdir.claim(fewer.counts(), fewer.classes)
    renamed = [row.replace("bee", "wasp") for row in paired()]
    other = load(write(file, "path,label", *renamed))
    with pytest.raises(UsageError, match="without bee, with wasp"):
        workdir.claim(other.counts(), other.classes)


def test_the_lines_of_a_quoted_cell_count(folder: Path):
    file = folder / "list.csv"
    with file.open("w", newline="") as text:
        writer = csv.writer(text)
        writer.writerows([["path", "label", "note"], [NAMES[0], "ant", "two\nlines"]])
        writer.writerow(["images/gone.png", "bee", ""])
    assert "images/gone.png (line 4)" in refusal(file)
