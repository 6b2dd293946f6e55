"""Data sets of tensorflow-datasets with boxes: read in their order, crowds left out."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow_datasets as tfds

from training.data import DataError, boxes
from training.recipes.box_augmentation import BoxAugmentation
from training.recipes.table import RECIPES
from training.report import box_preview

# y0, x0, y1, x1 in pixels, of images of 24 x 40 and of 40 x 24 in turn.
BOXES = np.float32([[3, 4, 9, 20], [10, 2, 22, 12], [0, 0, 24, 24]])
LABELS = [1, 0, 2]
PLAIN = BoxAugmentation()


class Coco(tfds.core.GeneratorBasedBuilder):
    """Images with two objects and a crowd, as tensorflow-datasets has COCO's."""

    VERSION = tfds.core.Version("1.0.0")
    name = "coco"
    key = "objects"

    def _info(self):
        objects = {
            "area": np.int64,
            "bbox": tfds.features.BBoxFeature(),
            "is_crowd": np.bool_,
            "label": tfds.features.ClassLabel(names=["bar", "square", "person"]),
        }
        features = {
            "image": tfds.features.Image(encoding_format=self.encoding),
            self.key: tfds.features.Sequence(objects),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    encoding = "png"

    def _split_generators(self, _):
        return {"train": self._generate(range(6)), "validation": self._generate([6, 7])}

    def _generate(self, numbers):
        for number in numbers:
            height, width = sides = (24, 40) if number % 2 == 0 else (40, 24)
            shares = BOXES / np.array([*sides, *sides])
            objects = [
                {
                    "area": 9,
                    "bbox": tfds.features.BBox(*share.tolist()),
                    "is_crowd": label == 2,
                    "label": label,
                }
                for share, label in zip(shares, LABELS, strict=True)
            ]
            image = np.full((height, width, 3), 20 * number, np.uint8)
            yield number, {"image": image, self.key: objects if number != 7 else []}

    _generate_examples = _generate


@pytest.fixture(scope="module", params=["png", "jpeg"])
def source(request, tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setattr(Coco, "encoding", request.param)
    builder = Coco(data_dir=str(tmp_path_factory.mktemp("tfds")))
    builder.download_and_prepare()
    patch.undo()
    return boxes.load(f"tfds:{builder.data_dir}", size_px=32)


@pytest.mark.slow
def test_objects_come_in_pixels_and_the_lack_of_masks_is_said(source):
    assert source.classes == ("bar", "square", "person")
    assert (source.train_examples, source.validation_examples) == (6, 2)
    assert (source.has_masks, source.drawn) == (False, False)
    assert source.training.max_objects == 2
    assert "boxes alone; tensorflow-datasets has no masks" in source.notices[0]
    images, truths = source.validation_images([0, 1])
    assert sorted(image.shape for image in images) == [(24, 40, 3), (40, 24, 3)]
    [full] = [truth for truth in truths if len(truth["classes"])]
    # Pixels were divided by the sides, and multiplied again, in float32.
    np.testing.assert_allclose(full["boxes"], BOXES[:2], atol=1e-4)
    assert full["classes"].tolist() == LABELS[:2]


@pytest.mark.slow
def test_annotations_have_the_crowds(source):
    found = source.annotations
    assert [image["id"] for image in found["images"]] == [0, 1]
    crowds = [one["iscrowd"] for one in found["annotations"]]
    assert crowds == [0, 0, 1]
    assert found["annotations"][0]["area"] == 9
    # As above.
    np.testing.assert_allclose(
        found["annotations"][0]["bbox"], [4, 3, 16, 6], atol=1e-4
    )


@pytest.mark.slow
def test_batches_are_the_same_wherever_the_epoch_begins(source):
    augment = BoxAugmentation(True, (0.6, 1.0), 11, 0.5)
    whole, rest = (
        list(
            source.train(
                2, epoch=1, seed=3, augment=augment, start_batch=start
            ).as_numpy_iterator()
        )
        for start in (0, 1)
    )
    assert len(whole) == 3
    for (images, truth), (same, same_truth) in zip(whole[1:], rest, strict=True):
        np.testing.assert_array_equal(images, same)
        for name, values in truth.items():
            np.testing.assert_array_equal(values, same_truth[name])
    plain = source.train(2, epoch=0, seed=3, augment=PLAIN).as_numpy_iterator()
    sizes = [sorted(map(tuple, truth["size"].tolist())) for _, truth in plain]
    # Three of either kind: the last batch has what is left of both.
    assert sorted(sizes[:2]) == [[(32, 53)] * 2, [(53, 32)] * 2]
    assert sizes[2] == [(32, 53), (53, 32)]


@pytest.mark.slow
def test_validation_has_the_numbers_of_the_annotations(source):
    batches = list(source.validation_batches(1).as_numpy_iterator())
    described = source.annotations["images"]
    for number, (_, truth, _) in enumerate(batches):
        assert truth["number"].tolist() == [number]
        image = described[number]
        assert truth["shape"].tolist() == [[image["height"], image["width"]]]


def test_what_records_do_not_have_is_refused(source):
    record = next(iter(source.training.in_order()))
    with pytest.raises(ValueError, match=r"^Images with objects are read whole\.$"):
        source.training.image(record, window=(0, 0, 9, 9))
    with pytest.raises(ValueError, match=r"^These objects have no masks\.$"):
        source.training.masks(record, [0], [0], [0])


@pytest.mark.slow
def test_a_sheet_can_be_drawn(source):
    recipe = replace(RECIPES["finetune_detect_small"], box_augmentation=PLAIN)
    assert box_preview.sheet(source, recipe, 2, 1).startswith(b"\x89PNG")


def test_data_without_boxes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Coco, "key", "things")
    builder = Coco(data_dir=str(tmp_path))
    builder.download_and_prepare()
    with pytest.raises(DataError, match="its features are image, things"):
        boxes.load(f"tfds:{builder.data_dir}", size_px=32)
