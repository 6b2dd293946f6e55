"""Images with objects, as an export reads them."""

import json

import numpy as np
from PIL import Image

from export.images.coco import find_coco


def write_files(folder, count):
    """Images of one pixel's color each, with one object and one crowd."""
    images, annotations = [], []
    for number in range(count):
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
    (folder / "all.json").write_text(json.dumps(contents))
    return f"{folder / 'all.json'}:{folder}"


def test_images_come_with_their_objects(tmp_path):
    splits = find_coco(write_files(tmp_path, 4), lambda path: path.read_bytes())
    assert splits.undivided
    assert splits.training.count == 4
    [image] = splits.training.read([3])
    assert (image.name, image.classes) == ("3.png", ("fruit", "nut"))
    assert image.contents == (tmp_path / "3.png").read_bytes()
    # y0, x0, y1, x1 of left, top, width and height.
    np.testing.assert_array_equal(image.objects.boxes, [[2, 3, 5, 7]] * 2)
    assert image.objects.classes.tolist() == [1, 0]
    assert image.objects.is_crowd.tolist() == [False, True]


def test_a_runs_validation_images_are_drawn_as_the_run_drew_them(tmp_path):
    named = write_files(tmp_path, 10)
    drawn = [
        find_coco(named, lambda path: path.read_bytes(), split)
        for split in ((0.3, 1), (0.3, 1), (0.3, 2))
    ]
    names = [
        [[one.name for one in part.read(range(part.count))] for part in parts]
        for parts in ((each.training, each.validation) for each in drawn)
    ]
    training, validation = names[0]
    assert len(validation) == 3
    assert sorted(training + validation) == [f"{number}.png" for number in range(10)]
    assert names[0] == names[1] != names[2]
