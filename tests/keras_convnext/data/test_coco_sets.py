"""COCO's annotations: found, checked and split; each mistake is named in one line."""

import json
import math
import shutil
from pathlib import Path

import pytest
from PIL import Image

from keras_convnext._data import coco_sets
from keras_convnext._data.data_error import DataError
from tests.training.data.coco_files import (
    CATEGORIES,
    annotation,
    content,
    write_coco,
    write_images,
)


def load(rest, **arguments):
    settings = {"validation_share": 0.34, "seed": 0, "skip_bad_images": False}
    return coco_sets.load(str(rest), **(settings | arguments))


def rewrite(root: Path, change) -> Path:
    """Writes a valid data set's annotations after a change."""
    made = content()
    write_images(root / "images", made)
    (root / "annotations").mkdir(exist_ok=True)
    changed = change(made)
    text = json.dumps(made if changed is None else changed)
    (root / "annotations/instances.json").write_text(text)
    return root


def test_labels_follow_the_rising_ids_of_categories(tmp_path):
    found = load(write_coco(tmp_path, content()), whole="all")
    assert found.classes == ("square", "bar")
    assert found.has_masks
    assert found.notices == ("training images without an object: 1 of 6.",)
    first = found.train[0]
    assert first.path == tmp_path / "images/0.png"
    assert [(one.label, one.box) for one in first.image.objects] == [
        (0, (4, 5, 8, 8)),
        (1, (2, 16, 14, 3)),
    ]


def test_names_of_classes_are_composed_without_spaces_around(tmp_path):
    made = content()
    made["categories"][0]["name"] = " ba\u0308r\n"
    assert load(write_coco(tmp_path, made)).classes == ("square", "b\u00e4r")


def test_images_of_one_file_are_split_by_share_and_seed(tmp_path):
    root = write_coco(tmp_path, content())
    found, again, other = load(root), load(root), load(root, seed=1)
    assert (len(found.train), len(found.validation)) == (4, 2)
    assert found.drawn
    parts = [found.train, found.validation, again.validation, other.validation]
    train, validation, same, different = ([one.path for one in p] for p in parts)
    assert not set(train) & set(validation)
    assert same == validation != different


def test_a_tree_as_coco_s_and_two_files_have_their_own_split(tmp_path):
    made = content()
    write_images(tmp_path / "train2017", made)
    write_images(tmp_path / "val2017", made)
    (tmp_path / "annotations").mkdir()
    files = [tmp_path / f"annotations/instances_{p}2017.json" for p in ("train", "val")]
    for file in files:
        file.write_text(json.dumps(made))
    both = ",".join(map(str, files))
    for rest in (tmp_path, f"{both}:{tmp_path / 'train2017'}"):
        found = load(rest)
        assert not found.drawn
        assert len(found.train) == len(found.validation) == 6
        assert len(load(rest, whole="all").train) == 12
    assert load(tmp_path).validation[0].path == tmp_path / "val2017/0.png"
    made["categories"] = CATEGORIES[:1]
    made["annotations"] = made["annotations"][1::2]
    files[1].write_text(json.dumps(made))
    with pytest.raises(DataError, match="different categories: 3 square"):
        load(tmp_path)


def change_first(**fields):
    def change(made):
        made["annotations"][0] |= fields

    return change


def change_image(**fields):
    def change(made):
        made["images"][0] |= fields

    return change


def without(kind, key):
    def change(made):
        del made[kind][0][key]

    return change


def append(kind, entry):
    return lambda made: made[kind].append(entry)


NAN = math.nan
RUNS = {"size": [24, 40], "counts": [960]}
MISTAKES = {
    "holds a list": lambda made: [1],
    "holds predictions, without the images": lambda made: [{"score": 1}],
    "holds no JSON object": lambda made: 5,
    "COCO's captions": lambda made: {"annotations": [{"caption": "a"}]},
    "COCO's panoptic": lambda made: {"annotations": [{"segments_info": []}]},
    "has no images, categories, only annotations": lambda made: {"annotations": []},
    "has no list under images": lambda made: made | {"images": {}},
    'names no classes: "categories" is empty': lambda made: made | {"categories": []},
    "a name twice: 1 category (bar)": append("categories", {"id": 8, "name": "bar"}),
    "an id that another one has: 1 category (7)": append(
        "categories", {"id": 7, "name": "b"}
    ),
    "a name twice: 1 category (häßlich)": lambda made: made["categories"].extend(
        {"id": number, "name": name}
        for number, name in ((8, "h\u00e4\u00dflich"), (9, " ha\u0308\u00dflich "))
    ),
    "not UTF-8, on one line: 2 categories (id 8, id 9)": lambda made: made[
        "categories"
    ].extend({"id": n, "name": name} for n, name in ((8, "a\nb"), (9, "a\ud800"))),
    "or no name: 1 category (number 3 of the list)": append("categories", {"name": 1}),
    "no file_name: 1 image (id 50)": without("images", "file_name"),
    "leads out of the folder of images: 1 image": change_image(file_name="../0.png"),
    "no whole number under id: 1 image (0.png)": change_image(id="50"),
    "an id that another one has: 1 image (1.png)": lambda made: made["images"][
        1
    ].update(id=50),
    "a file_name that another one has: 1 image (0.png)": lambda made: made["images"][
        1
    ].update(file_name="0.png"),
    "height or width is not from 1 to 65,535: 1 image": change_image(width=10**400),
    "there is no such file": change_image(file_name="none.png"),
    "0.png: has 40x24 pixels, and 39x24 in the annotations": change_image(width=39),
    "no JSON object: 1 annotation (number 11 of the list)": append("annotations", 5),
    "no whole number under id: 1 annotation": change_first(id=True),
    "an id that another one has: 1 annotation (id 10 of 0.png)": change_first(id=10),
    "of no image in the file: 1 annotation (id 9)": change_first(image_id=0),
    "of no category in the file: 1 annotation": change_first(category_id=1),
    "iscrowd is neither 0 nor 1: 1 annotation": change_first(iscrowd="no"),
    "bbox is not four numbers": change_first(bbox=[1, 2, 3]),
    "left, top, width and height: 1 annotation": change_first(bbox=[NAN, 2, 3, 4]),
    "and height: 1 annotation (id 9 of 0.png)": change_first(bbox=[1e300, 2, 3, 4]),
    "bbox has a negative width or height": change_first(bbox=[9, 9, -4, 4]),
    "bbox lies outside of the image": change_first(bbox=[40, 2, 3, 4]),
    "area is no number from 0 on": change_first(area=-1),
    "no segmentation, where others have one": change_first(segmentation=[]),
    "not three or more pairs of x and y": change_first(segmentation=[[1, 2, 3, 4]]),
    "run lengths are of another size than their image: 1": change_first(
        segmentation=RUNS | {"size": [40, 24]}
    ),
    "run lengths do not add up to the image's pixels": change_first(
        segmentation=RUNS | {"counts": [959]}
    ),
    "a run length is negative, or longer than the image": change_first(
        segmentation=RUNS | {"counts": [2**40]}
    ),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_named_before_any_work(tmp_path, text):
    rewrite(tmp_path, MISTAKES[text])
    with pytest.raises(DataError) as error:
        load(tmp_path)
    lines = str(error.value).replace("\n  ", " ").splitlines()
    assert any(text in line for line in lines)
    wanted = ("instances.json", "images cannot be used")
    assert all(any(text in line for text in wanted) for line in lines)


TEXTS = {
    "is not JSON: Expecting": b'{"images": [',
    "is not JSON: it is not UTF-8": b'{"images": "\xff\xfe"}',
    "is not JSON: maximum recursion depth": b"[" * 200_000,
    "is not JSON: Exceeds the limit": b"9" * 5000,
}


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_no_json_is_refused(tmp_path, text):
    root = write_coco(tmp_path, content())
    (root / "annotations/instances.json").write_bytes(TEXTS[text])
    with pytest.raises(DataError, match=text):
        load(root)


def test_all_that_is_wrong_is_said_at_once_and_left_out_on_request(tmp_path):
    made = content()
    made["annotations"][0]["bbox"][2] = -1
    made["annotations"][2]["image_id"] = 999
    made["annotations"][5]["category_id"] = 999
    write_coco(tmp_path, made)
    (tmp_path / "images/3.png").unlink()
    with pytest.raises(DataError) as error:
        load(tmp_path)
    text = str(error.value)
    assert text.count("annotation (id") == 3
    assert "1 of 4 images cannot be used" in text
    found = load(tmp_path, skip_bad_images=True, whole="all")
    assert [one.path.stem for one in found.train] == ["1", "4", "5"]
    assert [Path(path).stem for path, _ in found.skipped] == ["0", "2", "3"]
    # Its other object is still there.
    assert len(found.train[0].image.objects) == 1


def test_odd_boxes_are_used_or_left_out_with_a_line(tmp_path):
    made = content()
    made["annotations"][0]["bbox"] = [35, 5, 9, 8]
    made["annotations"][1]["bbox"] = [2, 16, 14, 0]
    # Half a pixel outside is rounding, and worth no line.
    made["annotations"][2]["bbox"] = [-0.5, 5, 8, 8]
    made["categories"] = [CATEGORIES[0] | {"keypoints": []}, CATEGORIES[1]]
    found = load(write_coco(tmp_path, made), whole="all")
    beyond, empty, keypoints, _ = found.notices
    assert "reach beyond their image" in beyond
    assert "1 annotation (id 9 of 0.png)" in beyond
    assert "without area are left out: 1 annotation (id 10 of 0.png)" in empty
    assert "keypoints are not read" in keypoints
    assert [one.box for one in found.train[0].image.objects] == [(35, 5, 9, 8)]


def test_boxes_alone_are_enough_and_crowds_need_no_mask(tmp_path):
    made = content()
    crowd = annotation(99, 50, (0, 0, 9, 9)) | {"iscrowd": 1}
    del crowd["segmentation"]
    made["annotations"].append(crowd)
    assert load(write_coco(tmp_path, made)).has_masks
    for one in made["annotations"]:
        one.pop("segmentation", None)
    found = load(write_coco(tmp_path, made))
    assert not found.has_masks
    assert found.notices[-1] == "the objects have boxes alone, no masks."


PLACES = {
    "does not exist": lambda root: "nowhere",
    "is a file, not a folder": lambda root: root / "images/0.png",
    "has no instances*.json": lambda root: root / "images",
    "names 3 files": lambda root: f"a.json,b.json,c.json:{root}",
    "cannot be read: No such file": lambda root: f"{root}/none.json:{root}/images",
    "The folder of images none does not exist": lambda root: (
        f"{root}/annotations/instances.json:none"
    ),
}


@pytest.mark.parametrize("text", PLACES)
def test_what_is_not_there_is_said(tmp_path, text):
    root = write_coco(tmp_path, content())
    with pytest.raises(DataError) as error:
        load(PLACES[text](root))
    assert text in str(error.value)


def test_a_folder_without_its_images_or_with_two_files_is_refused(tmp_path):
    root = write_coco(tmp_path, content())
    shutil.copy(
        root / "annotations/instances.json", root / "annotations/instances2.json"
    )
    with pytest.raises(DataError, match=r"several: instances\.json, instances2"):
        load(root)
    (root / "annotations/instances2.json").unlink()
    (root / "images").rename(root / "pictures")
    with pytest.raises(DataError, match=r"images of .* are in none of"):
        load(root)
    with pytest.raises(DataError, match="no annotations of a test set"):
        load(f"{root}/annotations/instances.json:{root}/pictures", whole="test")


def test_an_image_that_its_exif_note_turns_is_compared_upright(tmp_path):
    made = content()
    made["images"][0]["file_name"] = "0.jpg"
    write_coco(tmp_path, made)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 24)).save(tmp_path / "images/0.jpg", exif=exif)
    with pytest.raises(DataError, match="do not turn it as its EXIF note does"):
        load(tmp_path)
    made["images"][0] |= {"width": 24, "height": 40}
    for one in made["annotations"][:2]:
        one["bbox"], one["segmentation"] = [1, 1, 5, 5], [[1, 1, 6, 1, 6, 6]]
    assert len(load(write_coco(tmp_path, made), whole="all").train) == 6
