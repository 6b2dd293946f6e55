"""From images of any size to objects in their own pixels, against plain formulas."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from keras_convnext.detection import find_objects, paste_masks
from keras_convnext.detection.coco_classes import coco_category_ids
from keras_convnext.detection.inference import objects_in_square
from keras_convnext.image import evaluation_view
from keras_convnext.preprocessing import DETECTION_IMAGE
from keras_convnext.whole_images import resize_image, resized_shape


@pytest.mark.parametrize(
    ("shape", "seen"),
    [
        # What mmdetection's scale (1333, 800) makes of images of COCO.
        ((427, 640), (800, 1199)),
        ((480, 640), (800, 1067)),
        ((640, 480), (1067, 800)),
        ((300, 640), (625, 1333)),
        ((1600, 2000), (800, 1000)),
    ],
)
def test_images_get_the_published_size(shape, seen):
    factor = min(Fraction(1333, max(shape)), Fraction(800, min(shape)))
    assert seen == tuple(int(side * factor + Fraction(1, 2)) for side in shape)
    assert resized_shape(*shape, 800, 5 / 3) == seen


def test_a_graph_sees_an_image_as_numpy_does():
    image = np.random.default_rng(0).integers(0, 256, (40, 90, 3)).astype("uint8")
    expected = resize_image(image, 48, 5 / 3)
    assert expected.shape == (36, 80, 3)
    seen = evaluation_view(image, replace(DETECTION_IMAGE, size_px=48)).numpy()
    np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize("with_masks", [False, True])
def test_boxes_come_back_in_pixels_of_the_images_own_size(with_masks):
    def whole_and_half(images):
        height, width = images.shape[1:3]
        boxes = [[0, 0, height, width], [0, 0, height / 2, width / 2], [0] * 4]
        outputs = {
            "boxes": np.float32([boxes]),
            "scores": np.float32([[0.9, 0.6, 0]]),
            "classes": np.int32([[1, 0, -1]]),
            "count": np.int32([2]),
        }
        return outputs | {"masks": np.ones((1, 3, 28, 28))} if with_masks else outputs

    image = np.zeros((101, 333, 3), "uint8")
    found = find_objects(whole_and_half, image, DETECTION_IMAGE)
    # Each side has its own factor, because each is rounded by itself.
    expected = [[0, 0, 101, 333], [0, 0, 50.5, 166.5]]
    np.testing.assert_allclose(found.boxes, expected, rtol=1e-6)
    assert found.scores.tolist() == np.float32([0.9, 0.6]).tolist()
    assert found.classes.tolist() == [1, 0]
    assert len(found) == 2
    assert with_masks == (found.masks is not None)
    assert found.masks is None or found.masks.shape == (2, 28, 28)


def test_cocos_ids_leave_out_ten_of_ninety():
    ids = list(coco_category_ids().values())
    missing = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
    assert ids == [number for number in range(1, 91) if number not in missing]


@pytest.mark.parametrize("turned", [False, True])
def test_a_mask_keeps_its_place_where_its_box_reaches_out_of_the_image(turned):
    """The image is the upper half of the square that a file of one size sees."""
    image, box = (32, 64), [8, 10, 56, 50]
    mask = np.zeros((28, 28), "float32")
    mask[4:20] = 1
    if turned:
        image, box, mask = image[::-1], [10, 8, 50, 56], mask.T
    outputs = {
        "boxes": np.float32([box, [40, 40, 60, 60]]),
        "scores": np.float32([0.9, 0.8]),
        "classes": np.int32([1, 0]),
        "count": np.int32(2),
        "masks": np.stack([mask, mask]),
    }
    found = objects_in_square(outputs, image, 64)
    np.testing.assert_array_equal(found.boxes, np.minimum([box], [image * 2]))
    # The part's cells are half as high, and the ramp between two cells is straight
    # where it passes the threshold.
    np.testing.assert_array_equal(
        paste_masks(found.masks, found.boxes, *image),
        paste_masks(mask[None], [box], 64, 64)[:, : image[0], : image[1]],
    )
