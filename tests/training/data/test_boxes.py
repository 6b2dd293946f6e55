"""Images with objects: found, checked, split; the same batches wherever one starts."""

import json

import numpy as np
import pytest

from keras_convnext.preprocessing import IMAGENET_MEAN
from keras_convnext.whole_images import resize_image
from tests.training.data.coco_files import annotation, content, write_coco
from training.data import DataError, boxes
from training.recipes.box_augmentation import BoxAugmentation

DETR = BoxAugmentation(True, (0.6, 1.0), 11, 0.5, photometric=True)
PLAIN = BoxAugmentation()
SQUARE = BoxAugmentation(True, jitter=(0.5, 2.0))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_coco(tmp_path_factory.mktemp("data"), content(10))


def load(folder, **arguments):
    return boxes.load(f"coco:{folder}", **({"size_px": 32, "split": "all"} | arguments))


def batches(source, augment=DETR, batch=2, **arguments):
    epoch = source.train(batch, epoch=3, seed=5, augment=augment, **arguments)
    return list(epoch.as_numpy_iterator())


def assert_same(one, other):
    assert one[1].keys() == other[1].keys()
    np.testing.assert_array_equal(one[0], other[0])
    for name, values in one[1].items():
        np.testing.assert_array_equal(values, other[1][name])


def test_a_folder_is_read_with_its_classes(folder):
    source = load(folder, split="validation", validation_share=0.3)
    assert source.classes == ("square", "bar")
    assert (source.train_examples, source.validation_examples) == (7, 3)
    assert source.drawn
    assert source.has_masks
    assert source.training.max_objects == 2
    assert source.preprocessing.size_px == 32


def test_annotations_are_those_of_the_file_with_other_numbers(tmp_path):
    made = content(4)
    crowd = annotation(99, 51, (0, 0, 9, 9)) | {"iscrowd": 1}
    made["annotations"].append(crowd)
    source = load(write_coco(tmp_path, made))
    found = source.annotations
    assert found["categories"] == [
        {"id": 0, "name": "square"},
        {"id": 1, "name": "bar"},
    ]
    assert [image["id"] for image in found["images"]] == [0, 1, 2, 3]
    assert [image["file_name"] for image in found["images"]] == [
        f"{number}.png" for number in range(4)
    ]
    expected = sorted(
        (one["image_id"] - 50, one["category_id"] == 7, one["bbox"], one["iscrowd"])
        for one in made["annotations"]
    )
    assert expected == sorted(
        (one["image_id"], one["category_id"] == 1, one["bbox"], one["iscrowd"])
        for one in found["annotations"]
    )
    assert len({one["id"] for one in found["annotations"]}) == 7
    assert found["annotations"][0]["segmentation"]["size"] == [24, 40]
    assert json.loads(json.dumps(found)) == found
    assert source.training.max_objects == 2  # Without the crowd.


def test_images_and_objects_come_as_they_were_written(folder):
    source = load(folder)
    images, truths = source.validation_images([0, 3, 9])
    for number, image, truth in zip((0, 3, 9), images, truths, strict=True):
        assert image.shape == ((24, 40, 3) if number % 2 == 0 else (40, 24, 3))
        if number == 9:
            assert truth["boxes"].shape == (0, 4)
            assert truth["masks"].shape == (0, 40, 24)
            continue
        np.testing.assert_array_equal(
            truth["boxes"], [[5, 4 + number, 13, 12 + number], [16, 2, 19, 16]]
        )
        assert truth["classes"].tolist() == [0, 1]
        levels = (truth["masks"] * np.uint8([100, 200])[:, None, None]).sum(0)
        np.testing.assert_array_equal(image[..., 0], levels)
    assert [len(part) for part in source.sample_images(4)] == [4, 4]


@pytest.mark.parametrize("augment", [DETR, SQUARE], ids=["open", "square"])
@pytest.mark.slow
def test_batches_are_the_same_wherever_the_epoch_begins(folder, augment):
    source = load(folder)
    whole = batches(source, augment)
    assert len(whole) == 5
    for expected, found in zip(
        whole[2:], batches(source, augment, start_batch=2), strict=True
    ):
        assert_same(expected, found)


def test_truths_have_the_shapes_and_types_that_a_step_expects(folder):
    whole = batches(load(folder), DETR)
    for images, truth in whole:
        rows, height, width, _ = images.shape
        described = {name: (v.shape, v.dtype.name) for name, v in truth.items()}
        assert described == {
            "size": ((rows, 2), "int32"),
            "boxes": ((rows, 2, 4), "float32"),
            "classes": ((rows, 2), "int32"),
            "masks": ((rows, 2, height, width), "uint8"),
            "seed": ((rows, 2), "int32"),
        }
        assert images.dtype == np.uint8
        is_there = truth["classes"] >= 0
        assert (truth["boxes"][~is_there] == 0).all()
        assert (truth["masks"][~is_there] == 0).all()
        assert (truth["boxes"][is_there][:, 2:] > truth["boxes"][is_there][:, :2]).all()
    seeds = [tuple(seed) for _, truth in whole for seed in truth["seed"]]
    assert len(set(seeds)) == 10


def test_masks_are_filled_up_to_the_most_of_their_batch_and_to_one(tmp_path):
    made = content(4)
    made["annotations"].append(annotation(99, 50, (0, 0, 9, 9)))
    source = load(write_coco(tmp_path, made))
    for augment in (PLAIN, BoxAugmentation(jitter=(1.0, 1.0))):
        found = [truth for _, truth in batches(source, augment, batch=1)]
        assert {truth["boxes"].shape for truth in found} == {(1, 3, 4)}
        by_objects = sorted(
            (int((truth["classes"] >= 0).sum()), truth["masks"].shape[1])
            for truth in found
        )
        assert by_objects == [(0, 1), (2, 2), (2, 2), (3, 3)]
        [empty] = [truth for truth in found if truth["classes"].max() < 0]
        assert not empty["masks"].any()


def test_wide_and_high_images_come_in_batches_of_their_own(folder):
    source = load(folder)
    found = batches(source, PLAIN)
    shapes = [tuple(map(tuple, truth["size"].tolist())) for _, truth in found]
    wide, high = (32, 53), (53, 32)
    # Five of each: what is left of both is the last batch.
    assert sorted(shapes[:-1]) == [(wide, wide)] * 2 + [(high, high)] * 2
    assert sorted(shapes[-1]) == [wide, high]
    assert found[-1][0].shape == (2, 53, 53, 3)
    offsets = [
        round(truth["boxes"][row, 0, 1] * 24 / 32) - 4
        for _, truth in found
        for row in range(2)
        if truth["classes"][row, 0] == 0
    ]
    assert sorted(offsets) == list(range(9))  # And one without objects.


def test_images_are_filled_up_with_the_mean_color(folder):
    *_, (images, truth) = batches(load(folder), PLAIN)
    mean = np.round(255 * np.array(IMAGENET_MEAN))
    for image, (height, width) in zip(images, truth["size"], strict=True):
        assert (image[height:] == mean).all()
        assert (image[:, width:] == mean).all()
        assert (image[:height, :width] != mean).any()


def test_square_batches_have_one_size_and_boxes_around_the_masks(folder):
    source = load(folder)
    epoch = source.train(4, epoch=0, seed=0, augment=SQUARE)
    images, truth = epoch.element_spec
    assert images.shape.as_list() == [4, 32, 32, 3]
    assert truth["masks"].shape.as_list() == [4, None, 32, 32]
    for _, truth in epoch.as_numpy_iterator():
        for boxes_, masks in zip(truth["boxes"], truth["masks"], strict=True):
            for box, mask in zip(boxes_, masks, strict=True):
                rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
                expected = (
                    [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
                    if len(rows)
                    else [0, 0, 0, 0]
                )
                assert box.tolist() == expected


@pytest.mark.slow
def test_workers_share_the_rows_of_every_batch(folder):
    source = load(folder)
    alone = [batches(source, DETR, worker=n, workers=2) for n in range(2)]
    for (images, truth), *shares in zip(batches(source, DETR), *alone, strict=True):
        for row, (part, own) in enumerate(shares):
            height, width = truth["size"][row]
            # A worker fills up to the largest of its own rows.
            np.testing.assert_array_equal(
                part[0, :height, :width], images[row, :height, :width]
            )
            np.testing.assert_array_equal(own["boxes"][0], truth["boxes"][row])


def test_validation_sees_whole_images_resized_by_the_rule_of_inference(folder):
    source = load(folder)
    images, _ = source.validation_images(range(10))
    found = list(source.validation_batches(1).as_numpy_iterator())
    assert len(found) == 10
    for number, (seen, truth, weights) in enumerate(found):
        assert truth["number"].tolist() == [number]
        assert truth["shape"].tolist() == [list(images[number].shape[:2])]
        assert weights == [1]
        # Two programs for one formula: a half may be rounded to either side.
        expected = resize_image(images[number], 32, 5 / 3)
        assert truth["size"].tolist() == [list(expected.shape[:2])]
        assert np.abs(seen[0] - expected).max() <= 1


def test_rows_that_fill_up_a_batch_have_no_number(folder):
    found = list(load(folder).validation_batches(4).as_numpy_iterator())
    assert [weights.tolist() for *_, weights in found][-1] == [1, 1, 0, 0]
    assert found[-1][1]["number"].tolist() == [8, 9, -1, -1]
    # Images that are filled up to their batch's largest keep their own.
    assert found[0][1]["size"].tolist() == [[32, 53], [53, 32]] * 2


def test_boxes_alone_make_batches_without_masks(tmp_path):
    made = content(4)
    for one in made["annotations"]:
        del one["segmentation"]
    source = load(write_coco(tmp_path, made))
    assert not source.has_masks
    for augment in (DETR, SQUARE):
        [(_, truth), *_] = batches(source, augment)
        assert truth.keys() == {"size", "boxes", "classes", "seed"}
    assert "segmentation" not in source.annotations["annotations"][0]


def test_boxes_end_at_the_border_and_specks_are_not_learned(tmp_path):
    made = content(2)
    made["annotations"] = [
        annotation(1, 50, (30, -2, 20, 9)),
        annotation(2, 50, (3, 3, 0.5, 9)),
    ]
    source = load(write_coco(tmp_path, made))
    _, [truth] = source.validation_images([0])
    assert truth["boxes"].tolist() == [[0, 30, 7, 40]]
    # They count in evaluation, as they stand in the file.
    assert [one["bbox"] for one in source.annotations["annotations"]] == [
        [30, -2, 20, 9],
        [3, 3, 0.5, 9],
    ]


def test_files_that_cannot_be_decoded_are_named_or_left_out(tmp_path):
    root = write_coco(tmp_path, content(6))
    file = root / "images/3.png"
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(DataError, match=r"1 of 6 images cannot be used:\n .*3\.png"):
        load(root)
    source = load(root, skip_bad_images=True)
    assert source.train_examples == 5
    assert source.skipped[0][0].endswith("3.png")


@pytest.mark.parametrize("spec", ["folder:x", "digits", "coco:", "masks:x"])
def test_other_forms_of_data_hold_no_objects(spec):
    with pytest.raises(DataError, match=r"Give coco:FILE\.json:IMAGES"):
        boxes.load(spec, size_px=32)


def test_images_on_both_sides_of_the_split_and_black_ones_get_a_line(tmp_path):
    root = write_coco(tmp_path, content(4))
    both = content(4)
    both["images"], both["annotations"] = both["images"][2:], both["annotations"][4:]
    (root / "val.json").write_text(json.dumps(both))
    spec = f"coco:{root}/annotations/instances.json,{root}/val.json:{root}/images"
    found = boxes.load(spec, size_px=32).notices
    last = root / "images/3.png"
    assert found[-2] == f"One image is black throughout, as the file says: {last}."
    assert found[-1].startswith(
        "2 images are in both the training and the validation set (duplicates), so that"
    )
    assert f"{last} = {last}" in found[-1]
    # There is but one side.
    assert "black" in boxes.load(spec, size_px=32, split="all").notices[-1]
