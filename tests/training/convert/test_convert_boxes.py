"""Pascal VOC's and YOLO's boxes become COCO's: all of them, or no file."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_convnext._data import coco_sets
from tests.training.data.coco_files import content, write_images
from training import convert_boxes_main

CLASSES = ["square", "bar"]
MADE = content()


def boxes_of(image):
    """The objects of one of `content`'s images: class number and box."""
    return [
        (int(one["category_id"] == 7), one["bbox"])
        for one in MADE["annotations"]
        if one["image_id"] == image["id"]
    ]


def write_voc(root: Path) -> None:
    write_images(root / "JPEGImages", MADE)
    (root / "Annotations").mkdir()
    for image in MADE["images"]:
        objects = "".join(
            f"<object><name>{CLASSES[label]}</name><difficult>{label}</difficult><bndbox>"
            f"<xmin>{left + 1}</xmin><ymin>{top + 1}</ymin>"
            f"<xmax>{left + width}</xmax><ymax>{top + height}</ymax></bndbox></object>"
            for label, (left, top, width, height) in boxes_of(image)
        )
        size = f"<width>{image['width']}</width><height>{image['height']}</height>"
        file = root / "Annotations" / Path(image["file_name"]).with_suffix(".xml")
        file.write_text(f"<annotation><size>{size}</size>{objects}</annotation>")


def write_yolo(root: Path, below: str = "") -> None:
    images = root / "images" / below
    write_images(images, MADE)
    (root / "labels" / below).mkdir(parents=True)
    for image in MADE["images"][:-1]:  # The last one has no file, and no objects.
        sides = np.array([image["width"], image["height"]])
        lines = []
        for label, (left, top, width, height) in boxes_of(image):
            values = [*([left + width / 2, top + height / 2] / sides)]
            lines.append(
                f"{label} "
                + " ".join(map(str, [*values, width / sides[0], height / sides[1]]))
            )
        file = root / "labels" / below / Path(image["file_name"]).with_suffix(".txt")
        file.write_text("\n".join(lines) + "\n")
    (root / "data.yaml").write_text("path: .\nnames:\n  0: square\n  1: 'bar'\nnc: 2\n")


def convert(kind: str, root: Path, out: Path, *flags: str) -> int:
    boxes = f"--boxes={kind}:{root}"
    return convert_boxes_main.main(["convert", boxes, f"--out={out}", *flags])


def written(out: Path) -> dict:
    return {file.name: json.loads(file.read_text()) for file in out.glob("*")}


def assert_same_boxes(found):
    assert len(found["annotations"]) == len(MADE["annotations"])
    names = {one["id"]: one["name"] for one in found["categories"]}
    files = {one["id"]: Path(one["file_name"]).name for one in found["images"]}
    for one, expected in zip(found["annotations"], MADE["annotations"], strict=True):
        assert files[one["image_id"]] == f"{expected['image_id'] - 50}.png"
        assert names[one["category_id"]] == CLASSES[expected["category_id"] == 7]
        assert one["bbox"] == pytest.approx(expected["bbox"])
        assert one["area"] == pytest.approx(expected["area"])


def test_voc_s_boxes_are_coco_s_and_difficult_ones_are_crowds(tmp_path, capfd):
    write_voc(tmp_path / "voc")
    assert convert("voc", tmp_path / "voc", tmp_path / "out") == 0
    [(name, found)] = written(tmp_path / "out").items()
    assert name == "instances.json"
    assert_same_boxes(found)
    assert [one["iscrowd"] for one in found["annotations"]] == [0, 1] * 5
    said = capfd.readouterr().out.splitlines()[-1]
    source = coco_sets.load(
        said.removeprefix("--data=coco:"),
        validation_share=0.5,
        seed=0,
        skip_bad_images=False,
    )
    assert source.classes == ("bar", "square")


def test_voc_s_lists_make_two_files(tmp_path, capfd):
    write_voc(tmp_path)
    lists = tmp_path / "ImageSets/Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("0\n1\n2\n")
    (lists / "val.txt").write_text("4 1\n")
    assert convert("voc", tmp_path, tmp_path / "out") == 0
    found = written(tmp_path / "out")
    assert {name: len(one["images"]) for name, one in found.items()} == {
        "instances_train.json": 3,
        "instances_val.json": 1,
    }
    names = ",".join(f"{tmp_path}/out/instances_{p}.json" for p in ("train", "val"))
    said = capfd.readouterr().out.splitlines()[-1]
    assert said == f"--data=coco:{names}:{tmp_path}"


@pytest.mark.parametrize(
    "names",
    [
        "names: [square, 'bar']\n",
        "names:\n- square\n- bar",
        "names: {0: square, 1: bar}",
    ],
)
def test_yolo_s_boxes_are_coco_s(tmp_path, names):
    write_yolo(tmp_path)
    (tmp_path / "data.yaml").write_text(names)
    assert convert("yolo", tmp_path, tmp_path / "out") == 0
    [found] = written(tmp_path / "out").values()
    assert_same_boxes(found)
    assert found["images"][0]["file_name"] == "images/0.png"
    assert [one["name"] for one in found["categories"]] == CLASSES


def test_yolo_s_folders_are_parts_and_polygons_are_masks(tmp_path):
    write_yolo(tmp_path, "train")
    write_images(
        tmp_path / "valid/images", {"images": MADE["images"][:1], "annotations": []}
    )
    (tmp_path / "valid/labels").mkdir()
    (tmp_path / "valid/labels/0.txt").write_text("1 0.1 0.25 0.35 0.25 0.35 0.75\n")
    assert convert("yolo", tmp_path, tmp_path / "out") == 0
    found = written(tmp_path / "out")
    assert_same_boxes(found["instances_train.json"])
    [one] = found["instances_val.json"]["annotations"]
    assert one["bbox"] == [4, 6, 10, 12]
    assert one["segmentation"] == [[4, 6, 14, 6, 14, 18]]
    assert one["area"] == 60


@pytest.mark.parametrize(
    ("parts", "files"),
    [
        (["test"], None),
        (["valid", "test"], None),
        (["train"], ["train"]),
        (["train", "test"], ["train"]),
        (["", "train"], ["train"]),
        (["", "train", "valid", "test"], ["train", "val"]),
        (["", "valid"], ["", "val"]),
    ],
)
def test_the_files_that_are_named_are_for_training_and_validation(
    tmp_path, capfd, parts, files
):
    for part in parts:
        write_yolo(tmp_path, part)
    assert convert("yolo", tmp_path, tmp_path / "out") == 0
    *lines, last = capfd.readouterr().out.splitlines()
    if files is None:
        assert last.startswith("no images to train on")
        return
    names = ["instances.json" if not f else f"instances_{f}.json" for f in files]
    paths = ",".join(f"{tmp_path}/out/{name}" for name in names)
    assert last == f"--data=coco:{paths}:{tmp_path}"
    left_out = [line for line in lines if line.startswith("not in --data: ")]
    assert len(left_out) == ({"", "train"} <= set(parts))


def test_a_part_whose_images_are_all_left_out_gets_no_file(tmp_path, capfd):
    write_yolo(tmp_path, "train")
    write_yolo(tmp_path, "val")
    for file in (tmp_path / "images/val").iterdir():
        file.write_bytes(b"")
    assert convert("yolo", tmp_path, tmp_path / "out", "--skip_bad_images") == 0
    assert list(written(tmp_path / "out")) == ["instances_train.json"]
    assert "instances_val" not in capfd.readouterr().out


def corrupt(place: str, text: str):
    return lambda root: (root / place).write_text(text)


ANNOTATION = "<annotation><object><name>a</name>{}</object></annotation>"
BOX = "<bndbox><xmin>9</xmin><ymin>1</ymin><xmax>{}</xmax><ymax>5</ymax></bndbox>"
BAD = {
    "1.xml: is no XML": ("voc", corrupt("Annotations/1.xml", "<annotation>")),
    "1.xml: holds <a>": ("voc", corrupt("Annotations/1.xml", "<a/>")),
    "9.xml: there is no image of that name": (
        "voc",
        corrupt("Annotations/9.xml", "<annotation/>"),
    ),
    "has a a without four numbers": (
        "voc",
        corrupt("Annotations/1.xml", ANNOTATION.format("")),
    ),
    "ends before it begins": (
        "voc",
        corrupt("Annotations/1.xml", ANNOTATION.format(BOX.format(3))),
    ),
    "or nowhere": (
        "voc",
        corrupt("Annotations/1.xml", ANNOTATION.format(BOX.format("nan"))),
    ),
    "an object without a name": (
        "voc",
        corrupt("Annotations/1.xml", "<annotation><object/></annotation>"),
    ),
    "says 40x24 pixels, and its image has 5x5": (
        "voc",
        lambda root: Image.new("RGB", (5, 5)).save(root / "JPEGImages/0.png"),
    ),
    "its image 0.png cannot be read": ("voc", corrupt("JPEGImages/0.png", "text")),
    "1.txt: line 1 is no class number": ("yolo", corrupt("labels/1.txt", "a 1 1 1 1")),
    "line 2 has class 2, and the last one is 1": (
        "yolo",
        corrupt("labels/1.txt", "0 .5 .5 .5 .5\n2 .5 .5 .5 .5"),
    ),
    "has 5 numbers after the class": ("yolo", corrupt("labels/1.txt", "0 1 1 1 1 1")),
    "no shares from 0 to 1": ("yolo", corrupt("labels/1.txt", "0 nan 1 1 1")),
    "has a box without area": ("yolo", corrupt("labels/1.txt", "0 .5 .5 0 .5")),
    "9.txt: there is no image": ("yolo", corrupt("labels/9.txt", "")),
    "1.xml: there are 2 images of that name: 1.jpg, 1.png": (
        "voc",
        lambda root: Image.new("RGB", (24, 40)).save(root / "JPEGImages/1.jpg"),
    ),
    "1.txt: there are 2 images of that name: 1.jpg, 1.png": (
        "yolo",
        lambda root: Image.new("RGB", (24, 40)).save(root / "images/1.jpg"),
    ),
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_file_is_named_and_nothing_is_written(tmp_path, capfd, text):
    kind, spoil = BAD[text]
    root, out = tmp_path / "data", tmp_path / "out"
    {"voc": write_voc, "yolo": write_yolo}[kind](root)
    spoil(root)
    assert convert(kind, root, out) == 2
    error = capfd.readouterr().err
    assert text in error
    assert "1 files cannot be used" in error
    assert not out.exists()
    assert convert(kind, root, out, "--skip_bad_images") == 0
    assert "left out" in capfd.readouterr().out
    assert written(out)


NONE = {
    "must be voc:DIR or yolo:DIR": ("csv", "", lambda root: None),
    "does not exist": ("voc", "none", lambda root: None),
    "has no Annotations/ with XML files": ("voc", "", lambda root: None),
    "has none of data.yaml": ("yolo", "", lambda root: (root / "data.yaml").unlink()),
    "names no classes": ("yolo", "", corrupt("data.yaml", "nc: 3\n")),
    "has no images": ("yolo", "labels", corrupt("labels/data.yaml", "names: [a]")),
    "has no text files": ("yolo", "images", corrupt("images/classes.txt", "a\nb")),
    "is a file; it must be a folder": ("yolo", "", corrupt("out", "")),
}


@pytest.mark.parametrize("text", NONE)
def test_what_cannot_be_converted_is_said_in_a_line(tmp_path, capfd, text):
    kind, below, spoil = NONE[text]
    write_yolo(tmp_path)
    spoil(tmp_path)
    assert convert(kind, tmp_path / below, tmp_path / "out") == 2
    [line] = capfd.readouterr().err.splitlines()
    assert text in line


def test_a_full_disk_leaves_no_file_of_several(tmp_path, monkeypatch):
    write_voc(tmp_path)
    lists = tmp_path / "ImageSets/Main"
    lists.mkdir(parents=True)
    for number, part in enumerate(("train", "val")):
        (lists / f"{part}.txt").write_text(f"{number}\n")
    dumps = json.dumps
    texts = []

    def fail_the_second_time(value):
        texts.append(dumps(value))
        if len(texts) == 2:
            raise OSError(28, "No space left on device")
        return texts[0]

    monkeypatch.setattr(json, "dumps", fail_the_second_time)
    assert convert("voc", tmp_path, tmp_path / "out") != 0
    assert list((tmp_path / "out").iterdir()) == []
