"""What detectors learn from and their losses, against NumPy's loops."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_convnext
from keras_convnext.detection import (
    detection_losses,
    paste_masks,
    training_model,
    training_settings,
)
from keras_convnext.detection.assignment import assign
from keras_convnext.detection.detector import detect
from keras_convnext.detection.losses import rpn_losses, stage_losses
from keras_convnext.detection.mask_targets import crop_masks
from keras_convnext.detection.roi_heads import Limits
from keras_convnext.detection.samples import BoxSamples
from keras_convnext.detection.sampling import sample
from keras_convnext.detection.supervision import Supervision
from keras_convnext.detection.training import without_truth
from tests.checks import random_images
from tests.keras_convnext.detection import numpy_training
from tests.keras_convnext.detection.numpy_detector import Detector

SIZE, CLASSES, WIDTHS = (60, 90), 3, (4, 5, 6, 7)
PROPOSALS, PER_LEVEL = 12, 20
SMALL = {"channels": 16, "units": 16, "stochastic_depth_rate": 0.0}


def flipped(boxes):
    return np.asarray(boxes)[..., [1, 0, 3, 2]]


def random_boxes(count, seed):
    """On a grid of whole pixels, where overlaps tie."""
    random = np.random.default_rng(seed)
    start = random.integers(0, 40, (count, 2))
    return np.concatenate([start, start + random.integers(4, 24, (count, 2))], 1)


@pytest.mark.parametrize("least", [None, 0.3])
def test_boxes_are_assigned_as_by_a_loop_over_the_objects(least):
    references, boxes = random_boxes(300, 0), random_boxes(9, 1)
    boxes[5] = boxes[2]
    expected = numpy_training.assign(references, boxes, 0.6, 0.4, least)
    assert set(expected) >= {-2, -1, 5 if least else 2}
    padded = np.concatenate([boxes, np.zeros((3, 4))])
    found = assign(
        np.stack([references, references]),
        np.stack([padded, padded]),
        np.stack([np.arange(12) < 9, np.arange(12) < 0]),
        np.ones((2, 300), bool),
        positive=0.6,
        negative=0.4,
        least=least,
    )
    np.testing.assert_array_equal(found[0], expected)
    # Without an object everything is background.
    assert np.unique(found[1]).tolist() == [-1]


def test_a_box_that_does_not_count_is_no_objects_best():
    boxes = np.array([[[0, 0, 10, 10.0]]])
    references = np.array([[[0, 0, 10, 9.0], [0, 0, 10, 4.0]]])
    found = assign(
        references,
        boxes,
        np.array([[True]]),
        np.array([[False, True]]),
        positive=0.7,
        negative=0.3,
        least=0.3,
    )
    assert np.asarray(found).tolist() == [[-2, 0]]


def test_samples_are_distinct_and_objects_first_and_no_more_than_their_share():
    assigned = np.full((3, 500), -1, "int32")
    assigned[0, ::3] = 4
    assigned[1, :7] = 2
    assigned[2] = -2
    assigned[2, :30] = -1
    seeds = np.array([[1, 2], [1, 3], [1, 4]], "int32")
    draw = partial(sample, count=64, most_positive=16)
    places, is_positive, is_drawn = (np.asarray(x) for x in draw(assigned, seeds, 0))
    assert is_positive.sum(1).tolist() == [16, 7, 0]
    assert is_drawn.sum(1).tolist() == [64, 64, 30]
    for row, chosen, positive, drawn in zip(
        assigned, places, is_positive, is_drawn, strict=True
    ):
        assert len(set(chosen[drawn])) == drawn.sum()
        assert (row[chosen[positive]] >= 0).all()
        assert (row[chosen[drawn & ~positive]] == -1).all()
        assert not (np.diff(positive.astype(int)) > 0).any()
    alone = draw(assigned[1:2], seeds[1:2], 0)
    np.testing.assert_array_equal(alone[0][0], places[1])
    for seed, number in ((seeds[:, ::-1], 0), (seeds + 1, 0), (seeds, 1)):
        assert (np.asarray(draw(assigned, seed, number)[0])[0] != places[0]).any()


def test_every_box_is_drawn_about_as_often():
    assigned = np.full((2000, 40), -1, "int32")
    seeds = np.stack([np.arange(2000), np.full(2000, 7)], 1).astype("int32")
    places = np.asarray(sample(assigned, seeds, 0, count=10, most_positive=1)[0])
    counts = np.bincount(places.reshape(-1), minlength=40)
    # 500 each, with a standard deviation of 19.4; five of them.
    assert np.abs(counts - 500).max() < 97


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_one_box_of_few_may_be_an_objects_and_none_has_no_area(count):
    boxes = np.array([[[5, 5, 5, 9], [0, 0, 10, 10]]], "float32")
    proposals = np.array([[[10 * i, 0, 10 * i + 10, 9] for i in range(5)]], "float32")
    layer = BoxSamples(3, count, 0.25, iou=0.5, best_is_positive=True)
    seed, classes = np.array([[1, 2]], "int32"), np.array([[2, 1]], "int32")
    rois, labels, numbers, _, _ = layer(proposals, boxes, classes, seed, training=True)
    assert labels.numpy().tolist() == [[1, 3, 3, 3][:count]]
    assert numbers[0, 0] == 1
    assert (rois.numpy()[0, :, 2:] > rois.numpy()[0, :, :2]).all()


def test_cropped_masks_are_means_of_points_at_stride_1():
    random = np.random.default_rng(0)
    masks = random.integers(0, 2, (1, 2, 40, 50)).astype("uint8")
    masks[0, 1, 10:30, 5:40] = 1
    boxes = np.array([[3, 4, 47.5, 33], [0, 0, 50, 40], [20, 30, 24, 31.0]])
    numbers = np.array([[1, 0, 1]], "int32")
    found = np.asarray(crop_masks(masks, numbers, flipped(boxes)[None], 28))[0]
    for box, number, mask in zip(boxes, numbers[0], found, strict=True):
        expected = numpy_training.crop_mask(masks[0, number].astype(float), box)
        # Float32 may decide otherwise at one half itself.
        assert ((mask == (expected >= 0.5)) | (np.abs(expected - 0.5) < 1e-5)).all()


def everything(method):
    """Settings with which nothing is drawn."""
    return training_settings(
        method,
        proposals=PROPOSALS,
        per_level=PER_LEVEL,
        anchor_samples=2000,
        anchor_positive_share=1.0,
        box_samples=PROPOSALS + 2,
        box_positive_share=1.0,
    )


def small(settings):
    """Returns a learning detector of given feature maps, with random weights."""
    levels = {
        f"level{stride}": keras.Input(
            (64 // stride, 96 // stride, width), name=f"level{stride}"
        )
        for stride, width in zip((4, 8, 16, 32), WIDTHS, strict=True)
    }
    shapes = {"size": (2,), "boxes": (None, 4), "classes": (None,), "seed": (2,)}
    truth = {
        name: keras.Input(
            shape, dtype="float32" if name == "boxes" else "int32", name=name
        )
        for name, shape in {**shapes, "masks": (None, *SIZE)}.items()
    }
    limits = Limits(PROPOSALS, 8, per_level=PER_LEVEL)
    supervision = Supervision(truth, settings, CLASSES)
    outputs = detect(
        list(levels.values()),
        truth["size"],
        limits,
        stages=len(settings.stage_weights),
        classes=CLASSES,
        channels=8,
        units=16,
        supervision=supervision,
    )
    model = keras.Model({**levels, **truth}, {**outputs, **supervision.outputs})
    random = np.random.default_rng(3)
    for variable in model.weights:
        shape = variable.shape
        value = random.normal(size=shape) * (2 / np.prod(shape[:-1])) ** 0.5
        if len(shape) == 1:
            value = random.uniform(0.5, 1.5, shape) - ("bias" in variable.name)
        variable.assign(value * (0.3 if "deltas" in variable.path else 1))
    for layer in model.layers:
        # Batches of boxes have other statistics in another order of sums.
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    return model


METHODS = [
    "mask_rcnn",
    pytest.param("cascade_mask_rcnn", marks=pytest.mark.slow),
]


def maps_for(model, seed):
    random = np.random.default_rng(seed)
    return {
        name: random.normal(size=(1, *each.shape[1:])).astype("float32")
        for name, each in model.input.items()
        if name.startswith("level")
    }


BOXES = np.array([[10, 12, 50, 44], [40, 5, 85, 58.0]])
LABELS = np.array([2, 0])
ROWS, COLUMNS = np.mgrid[: SIZE[0], : SIZE[1]]
MASKS = np.stack([ROWS + COLUMNS < 60, ROWS > COLUMNS / 3]).astype("uint8")


def truth(seed=1, size=SIZE):
    """Two objects and one more, which is padding."""
    return {
        "size": np.array([size], "int32"),
        "boxes": np.pad(flipped(BOXES), [(0, 1), (0, 0)])[None].astype("float32"),
        "classes": np.array([[*LABELS, -1]], "int32"),
        "masks": np.pad(MASKS, [(0, 1), (0, 0), (0, 0)])[None],
        "seed": np.array([[seed, 2]], "int32"),
    }


@pytest.mark.parametrize("method", METHODS)
def test_losses_are_those_of_numpy_by_stage(method):
    settings = everything(method)
    model, is_cascade = small(settings), method.startswith("cascade")
    maps = maps_for(model, 0)
    outputs = model({**maps, **truth()}, training=True)
    detector = Detector(model, SIZE, CLASSES, PROPOSALS, PER_LEVEL, 8)
    fpn = detector.fpn([each[0] for each in maps.values()])
    expected = numpy_training.anchor_losses(detector, fpn, BOXES, is_cascade)
    found = [float(loss[0]) for loss in rpn_losses(outputs, settings).values()]
    # Float32 sums of up to 1,500 anchors.
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    rois, total = detector.propose(fpn), sum(expected)
    for stage, weight in enumerate(settings.stage_weights):
        expected, rois = numpy_training.stage_losses(
            detector, fpn, rois, (BOXES, LABELS, MASKS), stage, is_cascade
        )
        losses = stage_losses(outputs, stage, settings)
        # Float32 through convolutions and, from stage to stage, exponentials.
        found = [float(loss[0]) for loss in losses.values()]
        np.testing.assert_allclose(found, expected, rtol=2e-4)
        total += weight * sum(expected)
    loss = detection_losses(outputs, settings)["loss"]
    np.testing.assert_allclose(float(loss[0]), total, rtol=2e-4)


FEW = {"anchor_samples": 32, "box_samples": 8, "proposals": 20, "per_level": 30}


def test_what_is_drawn_for_an_image_is_the_same_in_any_batch():
    model = small(training_settings("mask_rcnn", **FEW))
    first = {**maps_for(model, 0), **truth()}
    # Smaller than its batch: boxes end where it does.
    second = {**maps_for(model, 1), **truth(7, size=(50, 70))}
    batch = {name: np.concatenate([first[name], second[name]]) for name in first}
    together = model(batch, training=True)
    for index, inputs in enumerate((first, second)):
        alone = model(inputs, training=True)
        for name in ("rpn_labels", "rpn_targets", "box0_labels", "box0_numbers"):
            np.testing.assert_array_equal(together[name][index], alone[name][0])
    boxes = np.asarray(together["box0_rois"])
    drawn = boxes[1][np.asarray(together["box0_labels"])[1] == CLASSES]
    assert (drawn <= [50, 70, 50, 70]).all()
    assert (boxes[0].max(0) > [50, 70, 50, 70]).any()


@pytest.mark.parametrize("method", METHODS)
def test_losses_without_objects_or_with_flat_ones_are_finite(method):
    settings = training_settings(method, **FEW)
    model = small(settings)
    filled = {**maps_for(model, 0), **truth()}
    empty = {**filled, "classes": 0 * filled["classes"] - 1}
    empty["boxes"] = 0 * filled["boxes"]
    flat = {**filled, "boxes": filled["boxes"][..., [0, 1, 0, 3]]}
    for inputs in (empty, flat, filled):
        with tf.GradientTape() as tape:
            rows = detection_losses(model(inputs, training=True), settings)
            loss = tf.reduce_mean(rows["loss"])
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        assert np.isfinite(loss)
        assert all(np.isfinite(tf.convert_to_tensor(g)).all() for g in gradients)
        for name in ("rpn_box_loss", "box_loss", "mask_loss"):
            assert (rows[name][0] > 0) == (inputs is filled)


def test_a_method_that_there_is_not_is_refused_whatever_the_settings():
    with pytest.raises(ValueError, match="no method 'cascade' of detection; there are"):
        training_model("cascade", settings=training_settings("mask_rcnn"))


@pytest.mark.slow
def test_it_has_the_variables_of_the_detector_and_finds_the_same():
    learning = training_model("mask_rcnn", "convnext_atto", 2, seed=0, **SMALL)
    detector = keras_convnext.MaskRCNN("convnext_atto", 2, seed=0, **SMALL)
    weights = {v.path: v for v in learning.weights}
    assert {v.path for v in detector.weights} == set(weights)
    for variable in detector.weights:
        variable.assign(weights[variable.path])
    images = random_images(1, 64, 96)
    found = learning(without_truth(images), training=False)
    for name, value in detector(images).items():
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["mask_rcnn", "cascade_mask_rcnn"])
def test_a_copy_learns_two_objects(method):
    settings = training_settings(
        method, proposals=60, per_level=100, anchor_samples=64, box_samples=32
    )
    model = training_model(
        method, "convnext_atto", 3, settings=settings, seed=0, detections=5, **SMALL
    )
    model = keras.models.clone_model(model)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, 150))

    @tf.function
    def step(inputs):
        with tf.GradientTape() as tape:
            rows = detection_losses(model(inputs, training=True), settings)
            loss = tf.reduce_mean(rows["loss"])
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    image = random_images(1, *SIZE)
    for number in range(150):
        inputs = {"image": image, **truth(number)}
        step({name: tf.constant(value) for name, value in inputs.items()})
    found = model(without_truth(image), training=False)
    found = {name: np.asarray(value)[0] for name, value in found.items()}
    for box, label, mask in zip(BOXES, LABELS, MASKS, strict=True):
        best = np.flatnonzero(found["classes"] == label)[0]
        pasted = paste_masks(
            found["masks"][best : best + 1], found["boxes"][best : best + 1], *SIZE
        )[0]
        # MASKS go on outside their boxes, where a detector's mask cannot be.
        x1, y1, x2, y2 = box.astype(int)
        inside = np.zeros(SIZE, bool)
        inside[y1:y2, x1:x2] = mask[y1:y2, x1:x2]
        shared = (pasted & inside).sum() / (pasted | inside).sum()
        # COCO takes an object for found from a half on; these come to 0.8 or so.
        assert numpy_training.iou(flipped(found["boxes"][best]), box) > 0.5
        assert shared > 0.5
