"""Both detectors against NumPy's, their sizes, their counts, their files."""

import keras
import numpy as np
import pytest

import keras_convnext
from keras_convnext.detection.detector import detect
from keras_convnext.detection.roi_heads import Limits
from tests.checks import random_images
from tests.keras_convnext.detection.numpy_detector import Detector

# Counted by mmdetection 3.3.0 with 81 outputs, the backbone of UPerNet's table.
TINY_BACKBONE = 27_821_472
TINY = {
    keras_convnext.MaskRCNN: TINY_BACKBONE + 2_729_984 + 593_935 + 16_949_985,
    keras_convnext.CascadeMaskRCNN: TINY_BACKBONE + 2_729_984 + 593_935 + 54_785_187,
}
SIZE, CLASSES, WIDTHS = (60, 90), 3, (4, 5, 6, 7)
LIMITS = Limits(proposals=15, detections=8, per_level=20)


def small(stages):
    """Returns a detector of given feature maps, with weights that make objects."""
    image = keras.Input((*SIZE, 3))
    levels = [
        keras.Input((64 // stride, 96 // stride, width))
        for stride, width in zip((4, 8, 16, 32), WIDTHS, strict=True)
    ]
    few = {"channels": 8, "units": 16}
    outputs = detect(levels, image, LIMITS, stages=stages, classes=CLASSES, **few)
    model = keras.Model([image, *levels], outputs)
    random = np.random.default_rng(3)
    for variable in model.weights:
        shape = variable.shape
        value = random.normal(size=shape) * (2 / np.prod(shape[:-1])) ** 0.5
        if len(shape) == 1:
            value = random.uniform(0.5, 1.5, shape) - ("bias" in variable.name)
        variable.assign(value * (0.3 if "deltas" in variable.path else 1))
    return model


@pytest.mark.slow  # test_recorded.py has mmdetection's own outputs
@pytest.mark.parametrize("stages", [1, 3])
def test_a_detector_finds_what_the_one_in_numpy_finds(stages):
    model = small(stages)
    random = np.random.default_rng(0)
    maps = [random.normal(size=each.shape[1:]) for each in model.inputs[1:]]
    boxes, scores, labels, masks = Detector(
        model, SIZE, CLASSES, LIMITS.proposals, LIMITS.per_level, LIMITS.detections
    ).detect(maps)
    images = np.zeros((1, *SIZE, 3))
    found = model([images, *(each[None] for each in maps)])
    count = int(found["count"][0])
    assert count == len(boxes) >= 3
    np.testing.assert_array_equal(found["classes"][0, :count], labels)
    # Float32 through convolutions, exponentials of differences, and three stages.
    np.testing.assert_allclose(
        found["boxes"][0, :count], boxes[:, [1, 0, 3, 2]], atol=2e-3
    )
    np.testing.assert_allclose(found["scores"][0, :count], scores, atol=1e-4)
    np.testing.assert_allclose(found["masks"][0, :count], masks, atol=1e-3)
    assert np.all(found["classes"][0, count:] == -1)
    assert not np.any(found["boxes"][0, count:])
    assert not np.any(found["masks"][0, count:])


@pytest.mark.slow
@pytest.mark.parametrize("builder", TINY, ids=lambda builder: builder.__name__)
def test_it_has_the_number_of_parameters_of_mmdetections(builder):
    model = builder("convnext_tiny")
    counted = sum(int(np.prod(each.shape)) for each in model.trainable_variables)
    assert counted == TINY[builder]


@pytest.fixture(scope="module")
def atto():
    model = keras_convnext.MaskRCNN(
        "convnext_atto", 2, proposals=20, detections=5, seed=1
    )
    random = np.random.default_rng(1)
    for name in ("box_logits", "box_deltas"):
        kernel = model.get_layer(name).kernel
        kernel.assign(random.normal(0, 0.05, kernel.shape))
    return model


def test_images_of_any_size_are_padded_with_the_mean_color(atto):
    images = random_images(1, 70, 45)
    mean = np.float32([123.675, 116.28, 103.53])
    padded = np.tile(mean, (1, 96, 64, 1))
    padded[:, :70, :45] = images
    levels = keras.Model(atto.input, atto.get_layer("pyramid_norm_p4").output)
    expected = levels(padded)
    # The mean, once normalized, is zero to the last digit or the one before.
    np.testing.assert_allclose(levels(images), expected, atol=1e-5)


@pytest.mark.slow
def test_a_saved_model_finds_the_same_and_a_batch_is_as_its_images(atto, tmp_path):
    images = random_images(2, 64, 96)
    found = atto.predict_on_batch(images)
    atto.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for name, value in loaded.predict_on_batch(images).items():
        np.testing.assert_array_equal(value, found[name])
    assert {name: value.shape for name, value in found.items()} == {
        "boxes": (2, 5, 4),
        "scores": (2, 5),
        "classes": (2, 5),
        "count": (2,),
        "masks": (2, 5, 28, 28),
    }
    alone = atto.predict_on_batch(images[1:])
    # Convolutions add up in another order for another batch.
    np.testing.assert_allclose(alone["scores"][0], found["scores"][1], atol=1e-5)
    boxes = atto.predict_on_batch(random_images(1, 70, 45))["boxes"]
    assert (boxes >= 0).all()
    assert (boxes <= [70, 45, 70, 45]).all()


@pytest.mark.parametrize("prefix", ["mask_rcnn_", "cascade_mask_rcnn_"])
def test_a_detector_is_created_by_name_and_may_do_without_masks(prefix):
    model = keras_convnext.create(
        f"{prefix}convnext_atto", classes=2, masks=False, input_shape=(64, 64, 3)
    )
    assert model.name == f"{prefix}convnext_atto"
    assert sorted(model.output) == ["boxes", "classes", "count", "scores"]


def test_backbones_of_other_strides_are_refused():
    with pytest.raises(ValueError, match="four stages of strides 4"):
        keras_convnext.MaskRCNN("convnext_isotropic_small")
    with pytest.raises(ValueError, match="atto has 4 from a stride of 2 on"):
        keras_convnext.MaskRCNN("convnext_atto", patch_size=2)
    few = {"classes": 2, "channels": 8, "units": 8}
    given, usual = (
        {v.path: v.shape for v in model.weights}
        for model in (
            keras_convnext.MaskRCNN("convnext_atto", patch_size=4, **few),
            keras_convnext.MaskRCNN("convnext_atto", **few),
        )
    )
    assert given == usual
