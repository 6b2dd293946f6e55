"""Image and mask are changed alike, by mmsegmentation's rules and OpenCV's pixels."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from training.augment import mask_transforms as transforms
from training.augment import photometric_distortion as photometric
from training.augment.photometric_distortion import Distortion
from training.recipes.mask_augmentation import MaskAugmentation

REFERENCES = Path(__file__).parent / "references"
RECORDED = np.load(REFERENCES / "mask_transforms.npz")
SIZES = [tuple(size) for size in RECORDED["sizes"].tolist()]
ORIGIN = tf.constant([0, 0])


@pytest.mark.parametrize("size_px", [64, 512, 640])
def test_sides_are_those_of_the_published_training(size_px):
    generator = np.random.default_rng(size_px)
    for _ in range(100):
        height, width = generator.integers(8, 3000, 2).tolist()
        ratio = generator.uniform(0.5, 2.0)
        longest, shortest = int(4 * size_px * ratio), int(size_px * ratio)
        factor = min(longest / max(height, width), shortest / min(height, width))
        expected = [max(int(side * factor + 0.5), 1) for side in (height, width)]
        found = transforms.resized_sides(height, width, size_px, ratio)
        assert found.numpy().tolist() == expected


@pytest.mark.parametrize("size", SIZES)
def test_labels_are_the_nearest_as_opencv_finds_them(size):
    shape = RECORDED["image"].shape[:2]
    places = tf.reshape(tf.range(shape[0] * shape[1]), shape)
    found = transforms.resize_mask_part(places, tf.constant(size), ORIGIN, max(size))
    np.testing.assert_array_equal(found, RECORDED[f"nearest_{size[0]}x{size[1]}"])


@pytest.mark.parametrize("size", SIZES)
def test_images_are_resized_as_opencv_does_within_a_level(size):
    image = tf.constant(RECORDED["image"])
    found = transforms.resize_image_part(image, tf.constant(size), ORIGIN, max(size))
    expected = RECORDED[f"bilinear_{size[0]}x{size[1]}"].astype(int)
    # OpenCV's weights have 11 bits.
    assert np.abs(found.numpy().astype(int) - expected).max() <= 1


def test_a_part_is_what_cutting_the_whole_would_give():
    image = tf.constant(RECORDED["image"])
    size, place = tf.constant(SIZES[2]), tf.constant([13, 29])
    for resize, values in (
        (transforms.resize_image_part, image),
        (transforms.resize_mask_part, image[..., 0]),
    ):
        whole = resize(values, size, ORIGIN, 1000).numpy()
        part = resize(values, size, place, 24).numpy()
        np.testing.assert_array_equal(part, whole[13:37, 29:53])


def expected_crop(mask, offsets, side, max_share):
    """The rule in NumPy: ten chances to be good, and the eleventh stands as it is."""
    for top, left in offsets[:-1]:
        part = mask[top : top + side, left : left + side]
        labels, counts = np.unique(part[part != 255], return_counts=True)
        if len(labels) > 1 and counts.max() / counts.sum() < max_share:
            return top, left
    return tuple(offsets[-1])


def test_crops_are_drawn_again_until_no_class_has_too_large_a_share():
    generator = np.random.default_rng(0)
    mask = np.zeros((60, 90), np.uint8)
    mask[:, 40:] = 1
    mask[30:, :20] = 255
    mask[:12, 80:] = 2
    chosen = []
    for _ in range(15):
        offsets = np.stack(
            [generator.integers(0, 60 - 24, 11), generator.integers(0, 90 - 24, 11)],
            axis=1,
        ).astype(np.int32)
        found = transforms.choose_crop(
            tf.constant(mask), tf.constant(mask.shape), tf.constant(offsets), 24, 0.6, 3
        )
        assert tuple(found.numpy()) == expected_crop(mask, offsets, 24, 0.6)
        chosen.append(offsets.tolist().index(found.numpy().tolist()))
    assert {0, 10} < set(chosen)  # The first, the last, and some between.


def test_the_last_crop_stands_even_where_all_pixels_are_ignored():
    offsets = tf.constant([[row, row] for row in range(11)])
    nothing = tf.fill([40, 40], tf.constant(255, tf.uint8))
    found = transforms.choose_crop(nothing, tf.constant([40, 40]), offsets, 8, 0.75, 3)
    assert found.numpy().tolist() == [10, 10]
    first = transforms.choose_crop(nothing, tf.constant([40, 40]), offsets, 8, 1.0, 3)
    assert first.numpy().tolist() == [0, 0]


def test_every_offset_is_drawn_and_none_outside():
    drawn = np.concatenate(
        [
            transforms.draw_offsets(tf.constant([8, 20]), 16, tf.constant([1, n]))
            for n in range(60)
        ]
    )
    assert set(drawn[:, 0]) == {0}
    assert set(drawn[:, 1]) == {0, 1, 2, 3, 4}


def view_of(image, mask, augmentation, number=0, size_px=32):
    return transforms.augment(
        tf.constant(image),
        tf.constant(mask),
        tf.constant([0, number], tf.int64),
        augmentation,
        size_px=size_px,
        fill=(124, 116, 104),
        masks=transforms.Masks(9, 255),
    )


def test_a_pixel_and_its_label_stay_together():
    mask = np.random.default_rng(0).integers(0, 9, (32, 50)).astype(np.uint8)
    image = np.repeat(mask[..., None] * 10, 3, axis=-1)
    augmentation = MaskAugmentation(crop_max_share=0.5, flip=True)
    crops, mirrored = set(), 0
    for number in range(20):
        pixels, labels = (t.numpy() for t in view_of(image, mask, augmentation, number))
        np.testing.assert_array_equal(pixels[..., 1], labels * 10)
        places = [
            (left, flipped)
            for left in range(19)
            for flipped in (False, True)
            if np.array_equal(
                mask[:, left : left + 32][:, :: -1 if flipped else 1], labels
            )
        ]
        assert len(places) == 1
        crops.add(places[0][0])
        mirrored += places[0][1]
    assert len(crops) > 5
    assert 4 < mirrored < 16


def test_small_images_are_filled_up_right_and_below():
    image, mask = np.full((20, 80, 3), 7, np.uint8), np.full((20, 80), 3, np.uint8)
    # At most four times 32 wide: the size stays 32 by 128. At half of it: 16 by 64.
    half = MaskAugmentation(ratio_range=(0.5, 0.5))
    pixels, labels = (tensor.numpy() for tensor in view_of(image, mask, half))
    assert (labels[:16] == 3).all()
    assert (labels[16:] == 255).all()
    assert (pixels[:16] == 7).all()
    assert (pixels[16:] == (124, 116, 104)).all()


def test_the_same_seed_gives_the_same_view_and_another_one_another():
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (50, 70, 3)).astype(np.uint8)
    mask = generator.integers(0, 9, (50, 70)).astype(np.uint8)
    everything = MaskAugmentation((0.5, 2.0), 0.75, True, True)
    views = [view_of(image, mask, everything, n)[0].numpy() for n in (1, 1, 2)]
    np.testing.assert_array_equal(views[0], views[1])
    assert (views[0] != views[2]).any()


@pytest.mark.parametrize("number", range(len(RECORDED["hue"])))
def test_distorted_colors_are_opencv_s_to_the_last_level(number):
    distortion = Distortion(
        *(tf.constant(RECORDED[f][number]) for f in Distortion._fields)
    )
    found = photometric.distort(tf.constant(RECORDED["image"][::2]), distortion)
    np.testing.assert_array_equal(found, RECORDED["distorted"][number])


def test_distortions_are_drawn_from_the_published_ranges():
    draws = [
        photometric.draw_distortion(tf.constant([3, number], tf.int64))
        for number in range(400)
    ]
    columns = [np.stack([np.asarray(v) for v in c]) for c in zip(*draws, strict=True)]
    chosen, brightness, contrast, saturation, hue, first = columns
    # Four standard deviations of 400 coins are 0.1.
    np.testing.assert_allclose(chosen.mean(0), 0.5, atol=0.1)
    np.testing.assert_allclose(first.mean(), 0.5, atol=0.1)
    for drawn, low, high in (
        (brightness, -32, 32),
        (contrast, 0.5, 1.5),
        (saturation, 0.5, 1.5),
    ):
        assert low <= drawn.min()
        assert drawn.max() < high
        np.testing.assert_allclose(
            drawn.mean(), (low + high) / 2, atol=(high - low) / 16
        )
    assert set(hue.tolist()) == set(range(-18, 18))


@pytest.mark.parametrize(
    "fields",
    [{"ratio_range": (2.0, 1.0)}, {"ratio_range": (0.0, 1.0)}, {"crop_max_share": 0.0}],
)
def test_what_cannot_be_is_no_augmentation(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        MaskAugmentation(**fields)
