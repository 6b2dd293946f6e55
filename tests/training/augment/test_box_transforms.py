"""Image, boxes and masks are changed alike, by mmdetection's rules."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from training.augment import box_transforms as transforms
from training.augment.box_transforms import View
from training.recipes.box_augmentation import BoxAugmentation

HEIGHT, WIDTH = 60, 90
BOXES = np.float32([[5, 8, 25, 40], [30, 50, 59.5, 89.5], [0, 0, 60, 90]])
# DETR's: see BoxAugmentation.
DETR = BoxAugmentation(True, (0.6, 1.0), 11, 0.5)


def pixels(height=HEIGHT, width=WIDTH):
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (height, width, 3)).astype(np.uint8)


def whole(boxes=BOXES):
    arrays = (pixels(), boxes, range(len(boxes)), range(HEIGHT), range(WIDTH))
    return View(*map(tf.constant, map(np.asarray, arrays)))


def numpy(view):
    return View(*(tensor.numpy() for tensor in view))


@functools.cache
def compiled(augmentation, size_px):
    return tf.function(
        lambda image, boxes, seed: transforms.augment(
            image, boxes, seed, augmentation, size_px=size_px
        ),
        [
            tf.TensorSpec((None, None, 3), tf.uint8),
            tf.TensorSpec((None, 4)),
            tf.TensorSpec((2,), tf.int64),
        ],
    )


def augment(augmentation, number=0, size_px=100, image=None, boxes=BOXES):
    image = pixels() if image is None else image
    seed = tf.constant([3, number], tf.int64)
    view, step_seed = compiled(augmentation, size_px)(image, boxes, seed)
    return numpy(view), step_seed.numpy()


def test_a_mirrored_view_has_mirrored_boxes():
    found = numpy(transforms.mirror(whole()))
    np.testing.assert_array_equal(found.image, pixels()[:, ::-1])
    np.testing.assert_array_equal(found.columns, np.arange(WIDTH)[::-1])
    np.testing.assert_array_equal(found.rows, np.arange(HEIGHT))
    y0, x0, y1, x1 = BOXES.T
    expected = np.stack([y0, WIDTH - x1, y1, WIDTH - x0], axis=1)
    np.testing.assert_array_equal(found.boxes, expected)


@pytest.mark.parametrize("size", [(45, 100), (7, 11), (60, 90)])
def test_a_resized_view_has_resized_boxes_and_the_nearest_rows(size):
    found = numpy(transforms.resize(whole(), tf.constant(size)))
    factors = np.array([size[0] / HEIGHT, size[1] / WIDTH] * 2)
    # Products in float32.
    np.testing.assert_allclose(found.boxes, BOXES * factors, rtol=1e-6)
    for own, side, length in zip(
        (found.rows, found.columns), size, (HEIGHT, WIDTH), strict=True
    ):
        steps = np.arange(side)
        expected = np.floor(steps * (1.0 / (side / length))).astype(int)
        np.testing.assert_array_equal(own, np.minimum(expected, length - 1))
    assert found.image.shape == (*size, 3)


def test_a_part_has_the_boxes_that_reach_into_it():
    boxes = np.float32([[5, 8, 25, 40], [0, 0, 10, 90], [12, 41, 30, 50], [0, 0, 3, 3]])
    view = whole(boxes)
    found = numpy(transforms.cut(view, tf.constant([10, 20]), tf.constant([30, 21])))
    # Of the second only a line without area is to be seen, of the fourth nothing.
    np.testing.assert_array_equal(found.kept, [0])
    np.testing.assert_array_equal(found.boxes, [[0, 0, 15, 20]])
    np.testing.assert_array_equal(found.image, pixels()[10:40, 20:41])
    np.testing.assert_array_equal(found.rows, np.arange(10, 40))
    np.testing.assert_array_equal(found.columns, np.arange(20, 41))


def test_a_part_of_a_resized_view_is_what_cutting_the_whole_would_give():
    size, place, part = map(tf.constant, ([80, 150], [13, 29], [40, 50]))
    once = numpy(transforms.resize_part(whole(), size, place, part))
    twice = numpy(transforms.cut(transforms.resize(whole(), size), place, part))
    for one, other in zip(once, twice, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_smallest_boxes_around_masks():
    masks = np.zeros((3, 7, 9), np.uint8)
    masks[0, 2:5, 3:4] = masks[1] = masks[2, 6, 0] = 1
    found = transforms.boxes_of(tf.constant(np.concatenate([masks, masks[:1] * 0])))
    expected = [[2, 3, 5, 4], [0, 0, 7, 9], [6, 0, 7, 1], [0, 0, 0, 0]]
    np.testing.assert_array_equal(found, expected)
    assert transforms.boxes_of(tf.zeros([0, 7, 9], tf.uint8)).shape == (0, 4)


def test_the_sides_are_those_of_detr_s_training():
    plain = BoxAugmentation(True, (0.6, 1.0), 11)
    sides = [augment(plain, n, 800, pixels(20, 30))[0].image.shape for n in range(60)]
    assert {min(height, width) for height, width, _ in sides} == set(
        range(480, 801, 32)
    )
    # 20 x 70 pixels would be 800 x 2800.
    sides = [augment(plain, n, 800, pixels(20, 70))[0].image.shape for n in range(20)]
    assert {width for _, width, _ in sides} == {1333}


def test_crops_are_drawn_from_detr_s_ranges():
    draw = tf.function(transforms.draw_part)
    for sides in ([400, 1333], [600, 500], [300, 610]):
        least, most = np.minimum(sides, 384), np.minimum(sides, 600)
        drawn = [
            draw(tf.constant(sides), tf.constant([n, 0], tf.int64), 800)
            for n in range(200)
        ]
        places, parts = (np.stack(values) for values in zip(*drawn, strict=True))
        assert (parts >= least).all()
        assert (parts <= most).all()
        assert (places >= 0).all()
        assert (places + parts <= sides).all()
        # Of 200 draws some come within a twentieth of either end.
        for low, high, values in ((least, most, parts), (0, sides - parts, places)):
            reach = (high - low) / 20
            assert (np.any(values <= low + reach, axis=0)).all()
            assert (np.any(values >= high - reach, axis=0)).all()


def test_every_second_image_is_cropped_in_detr_s_training():
    crops = BoxAugmentation(crop_probability=0.5)
    views = [augment(crops, n, 400, pixels(40, 40))[0] for n in range(80)]
    shapes = [view.image.shape[:2] for view in views]
    assert {min(shape) for shape in shapes} == {400}
    # Four standard deviations of 80 coins are 18; hardly a crop is a square.
    assert 22 <= shapes.count((400, 400)) <= 62


@pytest.mark.parametrize("augmentation", [DETR, BoxAugmentation(True, jitter=(0.1, 2))])
def test_an_object_stays_with_its_pixels(augmentation):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[5:25, 8:40] = 1
    image = np.repeat(mask[..., None] * np.uint8(200), 3, axis=-1)
    seen = 0
    for number in range(25):
        view, _ = augment(augmentation, number, 96, image, BOXES[:1])
        drawn = mask[np.ix_(view.rows, view.columns)]
        assert drawn.shape == view.image.shape[:2]
        if not len(view.boxes):
            assert drawn.mean() < 0.01
            continue
        seen += 1
        y0, x0, y1, x1 = view.boxes[0]
        rows, columns = (np.flatnonzero(drawn.any(axis)) for axis in (1, 0))
        if len(rows):
            # The nearest pixel is at most one off on either side, twice resized.
            ends = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
            np.testing.assert_allclose(ends, [y0, x0, y1, x1], atol=2.5)
        # Bilinear pixels and nearest ones differ at the edges alone.
        differing = (view.image[..., 0] > 100) != drawn
        assert differing.sum() <= 5 * (drawn.shape[0] + drawn.shape[1])
    assert seen > 10


def test_jitter_makes_images_fit_into_the_square():
    jitter = BoxAugmentation(jitter=(0.1, 2.0))
    longest = []
    for number in range(40):
        view, _ = augment(jitter, number, 64)
        height, width, _ = view.image.shape
        assert max(height, width) <= 64
        longest.append(max(height, width))
        assert (view.boxes[:, 2:] <= [height, width]).all()
        assert (view.boxes[:, 2:] - view.boxes[:, :2] > 0.01).all()
    # Factors of 1 and more, half of the range and a little more, fill it.
    assert 10 < longest.count(64) < 32
    assert min(longest) < 30


def test_the_same_seed_gives_the_same_view_and_another_one_another():
    everything = BoxAugmentation(True, (0.6, 1.0), 11, 0.5, photometric=True)
    (one, seed), (same, same_seed), (other, other_seed) = (
        augment(everything, number) for number in (1, 1, 2)
    )
    for left, right in zip(one, same, strict=True):
        np.testing.assert_array_equal(left, right)
    assert one.image.shape != other.image.shape or (one.image != other.image).any()
    assert seed.tolist() == same_seed.tolist() != other_seed.tolist()


@pytest.mark.parametrize(
    "fields",
    [
        {"scale_range": (2.0, 1.0)},
        {"jitter": (0.0, 1.0)},
        {"scale_steps": 0},
        {"crop_probability": 1.5},
        # What is set would do nothing.
        {"scale_range": (0.5, 1.0)},
        {"jitter": (0.5, 1.0), "crop_probability": 0.5},
        {"jitter": (0.5, 1.0), "scale_range": (0.5, 1.0), "scale_steps": 3},
    ],
)
def test_what_cannot_be_is_no_augmentation(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        BoxAugmentation(**fields)
