"""A word for the data that is none of their forms is answered with the right one."""

from pathlib import Path

import numpy as np
import pytest

from training import data


def refusal(spec: str) -> str:
    with pytest.raises(data.DataError) as caught:
        data.load(spec, size_px=16)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("spec", ["photos", "{}/photos", "photo:photos"])
def test_a_folder_of_that_name_is_proposed(tmp_path: Path, monkeypatch, spec):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / "a").mkdir(parents=True)
    place = spec.format(tmp_path).removeprefix("photo:")
    assert refusal(spec.format(tmp_path)).endswith(
        f"There is such a folder: --data=folder:{place}"
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("images.npz", "array"),
        ("train.tfrecord", "tfrecord"),
        ("train-00000-of-00002", "tfrecord"),
        ("some.array_record-00000-of-00001", "array_record"),
    ],
)
def test_a_file_is_proposed_by_its_ending(tmp_path: Path, name, kind):
    (tmp_path / name).touch()
    path = tmp_path / name
    assert refusal(str(path)).endswith(f"--data={kind}:{path}")
    # A word that fits another kind of data is put right, too.
    assert f"--data={kind}:{path}" in refusal(f"folder:{path}")


@pytest.mark.parametrize(
    "spec", ["{}/train.csv", "csv:{}/train.csv", "folder:{}/train.csv"]
)
def test_a_table_of_labels_is_proposed_as_a_list(tmp_path: Path, spec):
    (tmp_path / "train.csv").write_text("path,label\n0.png,cat\n")
    line = refusal(spec.format(tmp_path))
    assert line.endswith(f"There is such a file: --data=files:{tmp_path}/train.csv")


@pytest.mark.parametrize("spec", ["{}/train.xlsx", "csv:none", "files:{}/train.xlsx"])
def test_other_tables_are_to_be_saved_as_lists(tmp_path: Path, spec):
    (tmp_path / "train.xlsx").touch()
    assert "and give files:LIST.csv" in refusal(spec.format(tmp_path))


@pytest.mark.parametrize("place", ["instances.json", "annotations/instances_val.json"])
def test_a_folder_of_boxes_is_no_folder_of_classes(tmp_path: Path, place):
    for name in ("images", "annotations"):
        (tmp_path / name).mkdir()
    assert f"recipes that segment it is --data=masks:{tmp_path}." in refusal(
        f"folder:{tmp_path}"
    )
    (tmp_path / place).touch()
    assert f"recipes that detect it is --data=coco:{tmp_path}." in refusal(
        f"folder:{tmp_path}"
    )
    assert "Recipes that detect take it" in refusal(f"coco:{tmp_path}")
    file = tmp_path / place
    assert refusal(str(file)).endswith(f"--data=coco:{file}:IMAGES")


def test_an_array_that_is_a_folder_is_put_right(tmp_path: Path):
    (tmp_path / "photos").mkdir()
    assert f"--data=folder:{tmp_path / 'photos'}" in refusal(f"array:{tmp_path}/photos")


def test_a_fault_inside_of_the_right_kind_is_told_without_a_proposal(tmp_path: Path):
    np.savez(tmp_path / "some.npz", train_images=np.zeros((2, 4, 4, 3), np.uint8))
    assert "There is such" not in refusal(f"array:{tmp_path}/some.npz")
