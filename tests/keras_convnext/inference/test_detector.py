"""Detectors asked from Python."""

import json

import numpy as np
import pytest
from PIL import Image

import keras_convnext
from keras_convnext.detection import find_objects
from keras_convnext.inference.dense_outputs import finds_objects
from keras_convnext.inference.detector import Detector, from_export
from keras_convnext.inference.readers import ExportedModel
from keras_convnext.preprocessing import Preprocessing
from tests.color_boxes import NAMES, color_boxes

SIDE_PX = 32


def write_model(folder, model, size_px=SIDE_PX):
    folder.mkdir(exist_ok=True)
    model.save(folder / "model.keras")
    (folder / "labels.txt").write_text("\n".join(NAMES))
    record = {"size_px": size_px, "resize": "keep_ratio"}
    (folder / "preprocessing.json").write_text(json.dumps(record))
    return folder


# Its shorter side is the model's size, so that nothing is resized.
IMAGE = np.zeros((SIDE_PX, 45, 3), "uint8")
IMAGE[5:20, 10:31, 2] = 255
IMAGE[0:4, 40:45, 0] = 200
BOXES = [[0, 40, 4, 45], [5, 10, 20, 31]]


def check_boxes(found):
    assert found.boxes.tolist() == BOXES
    assert found.names == ("red", "blue")
    assert found.classes.tolist() == [0, 2]
    assert found.masks.shape == (2, 28, 28)
    # A softmax of 40 and three zeros.
    np.testing.assert_allclose(found.scores, 1)


@pytest.mark.parametrize("shape", [(None, None, 3), (SIDE_PX, SIDE_PX, 3)])
def test_an_image_of_any_form_gets_its_objects(tmp_path, shape):
    model = keras_convnext.load(write_model(tmp_path, color_boxes(shape)))
    assert isinstance(model, Detector)
    assert (model.labels, model.kind, model.notices) == (NAMES, "keras", ())
    Image.fromarray(IMAGE).save(tmp_path / "image.png")
    for given in (IMAGE, IMAGE.astype("float32"), tmp_path / "image.png"):
        check_boxes(model(given))
    [one, none] = model([Image.fromarray(IMAGE), np.zeros_like(IMAGE)])
    check_boxes(one)
    assert (len(none), none.names, none.boxes.shape) == (0, (), (0, 4))
    assert model([]) == []


def test_boxes_of_a_resized_image_are_in_its_own_pixels(tmp_path):
    model = keras_convnext.load(write_model(tmp_path, color_boxes(masks=False)))
    image = np.repeat(np.repeat(IMAGE, 3, 0), 3, 1)
    found = model(image)
    np.testing.assert_allclose(found.boxes, 3 * np.array(BOXES), atol=1e-4)
    assert found.masks is None


def test_a_detector_without_files_beside_it_says_what_it_takes_for_granted(tmp_path):
    color_boxes().save(tmp_path / "model.keras")
    model = keras_convnext.load(tmp_path / "model.keras")
    assert model.labels == ("class 0", "class 1", "class 2")
    seen = model.preprocessing
    assert (seen.size_px, seen.crop_mode) == (800, "fit")
    assert ["labels.txt" in line for line in model.notices] == [True, False]
    assert "resized to 800 px and keep their ratio" in model.notices[1]


def test_a_detector_of_one_class_has_one_name(tmp_path):
    model = keras_convnext.MaskRCNN("test_convnext2", 1, channels=8, units=8)
    model.save(tmp_path / "model.keras")
    assert keras_convnext.load(tmp_path / "model.keras").labels == ("class 0",)


def exported(folder, size_px, names=NAMES):
    """A file that finds the third class in the lower right quarter of any image."""

    def answer(images):
        height, width = images.shape[1:3]
        return {
            "boxes": np.float32([[[height / 2, width / 2, height, width]]]),
            "scores": np.float32([[0.5]]),
            "classes": np.int32([[2]]),
            "count": np.int32([1]),
        }

    (folder / "labels.txt").write_text("\n".join(names))
    file = folder / "model.tflite"
    return from_export(file, ExportedModel("tflite", "boxes", size_px, None, answer))


@pytest.mark.parametrize("size_px", [64, None])
def test_an_export_takes_nothing_for_granted_about_how_it_sees_images(
    tmp_path, size_px
):
    model = exported(tmp_path, size_px)
    assert model.notices == ()
    # With one size it sees a square, of which this image fills the upper 46 rows.
    top = 16 if size_px is None else 32 * 32 / 46
    np.testing.assert_allclose(model(IMAGE).boxes, [[top, 22.5, 32, 45]], rtol=1e-6)


def test_class_names_that_are_too_few_are_said(tmp_path):
    model = exported(tmp_path, None, NAMES[:2])
    with pytest.raises(ValueError, match=r"finds class 2, .* 2 class names: labels"):
        model(IMAGE)


def test_a_detector_that_does_not_normalize_gets_normalized_images(tmp_path):
    model = color_boxes(scale=1)
    assert finds_objects(model)
    write_model(tmp_path, model)
    check_boxes(keras_convnext.load(tmp_path, normalization="unit")(IMAGE))


def test_a_published_detector_has_cocos_classes(monkeypatch):
    monkeypatch.setattr(
        "keras_convnext.inference.loaded_model.create", lambda name: color_boxes()
    )
    model = keras_convnext.load("cascade_mask_rcnn_convnext_base.coco_in22k")
    assert model.labels[:2] == ("person", "bicycle")
    assert (model.kind, model.preprocessing.size_px) == ("checkpoint", 800)


@pytest.mark.slow
def test_a_run_of_mask_rcnn_answers_as_the_rule_says(tmp_path):
    network = keras_convnext.MaskRCNN(
        "convnext_atto", 3, proposals=20, detections=10, seed=0
    )
    image = np.random.default_rng(0).integers(0, 256, (50, 90, 3)).astype("uint8")
    rule = Preprocessing(size_px=64)
    expected = find_objects(network.predict_on_batch, image, rule)
    found = keras_convnext.load(write_model(tmp_path, network, 64))(image)
    assert len(found) == len(expected) > 0
    # Other graphs of the same layers round otherwise.
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-3)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    np.testing.assert_array_equal(found.classes, expected.classes)
    np.testing.assert_allclose(found.masks, expected.masks, atol=1e-4)
