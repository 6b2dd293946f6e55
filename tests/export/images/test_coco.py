"""Images with objects, as an export reads them."""

import json

import numpy as np
import pytest
from PIL import Image

from export.images.coco import find_coco
from export.images.run_images import find_run_images
from keras_convnext._messages import UsageError


def write_files(folder, numbers, name="all"):
    """Images of one pixel's color each, with one object and one crowd."""
    images, annotations = [], []
    for number in numbers:
        Image.new("RGB", (20, 10), (number, 0, 0)).save(folder / f"{number}.png")
        common = {"image_id": number, "area": 12, "bbox": [number, 2, 4, 3]}
        images.append(
            {"id": number, "file_name": f"{number}.png", "height": 10, "width": 20}
        )
        annotations += [
            {"id": 2 * number + 1, "category_id": 7, "iscrowd": 0, **common},
            {"id": 2 * number + 2, "category_id": 4, "iscrowd": 1, **common},
        ]
    categories = [{"id": 7, "name": "nut"}, {"id": 4, "name": "fruit"}]
    contents = {"images": images, "annotations": annotations, "categories": categories}
    (folder / f"{name}.json").write_text(json.dumps(contents))
    return f"{folder / name}.json"


def names_of(image_set):
    return [image.name for image in image_set.read(range(image_set.count))]


def test_images_come_with_their_objects(tmp_path):
    splits = find_coco(f"{write_files(tmp_path, range(4))}:{tmp_path}")
    assert splits.undivided
    assert splits.training.count == 4
    [image] = splits.training.read([3])
    assert (image.name, image.classes) == ("3.png", ("fruit", "nut"))
    assert image.contents == (tmp_path / "3.png").read_bytes()
    # y0, x0, y1, x1 of left, top, width and height.
    np.testing.assert_array_equal(image.objects.boxes, [[2, 3, 5, 7]] * 2)
    assert image.objects.classes.tolist() == [1, 0]
    assert image.objects.is_crowd.tolist() == [False, True]


def cut_short(file):
    """Leaves a file that says its size, and cannot be decoded."""
    contents = file.read_bytes()
    file.write_bytes(contents[: len(contents) // 2])


@pytest.mark.parametrize("is_pair", [False, True])
def test_a_run_that_skipped_damaged_images_is_divided_as_training_did(
    tmp_path, monkeypatch, is_pair
):
    from training.data.boxes import load
    from training.report.results import image_names

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files = [write_files(tmp_path, range(8), "all")]
    if is_pair:
        files.append(write_files(tmp_path, range(8, 12), "val"))
        cut_short(tmp_path / "9.png")
    data = f"coco:{','.join(files)}:{tmp_path}"
    cut_short(tmp_path / "2.png")
    how = {"seed": 3, "validation_share": 0.3}
    source = load(data, size_px=8, skip_bad_images=True, **how)
    workdir = tmp_path / "run"
    workdir.mkdir()
    (workdir / "recipe.json").write_text(json.dumps({"data": data, **how}))
    names = image_names(source)
    (workdir / "validation.csv").write_text("\n".join(["image", *names]))

    splits = find_run_images(workdir)
    expected = sorted(name.rpartition("/")[2] for name in names)
    assert len(expected) == (3 if is_pair else 2)
    assert sorted(names_of(splits.validation)) == expected
    others = {f"{number}.png" for number in range(8)} - {"2.png", *expected}
    assert set(names_of(splits.training)) == others

    # Named by itself, the same data is refused.
    with pytest.raises(UsageError, match=r"2\.png: "):
        names_of(find_coco(data.removeprefix("coco:")).training)
