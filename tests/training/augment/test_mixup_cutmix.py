"""MixUp and CutMix: against timm and closed forms."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from training.augment import mixup_cutmix
from training.recipes.augmentation import Augmentation
from training.tasks import losses

RECORDED = np.load(Path(__file__).parent / "references" / "mixing.npz")
SMOOTHING = float(RECORDED["smoothing"])
CLASSES = len(RECORDED["labels"])


def eagerly(change, *values):
    """What a change makes of each of some rows of values."""
    return [
        [result.numpy() for result in change(*map(tf.constant, row))]
        for row in zip(*values, strict=True)
    ]


def in_tf_data(change, *values):
    """The same inside of tf.data, as in training."""
    rows = tf.data.Dataset.from_tensor_slices(tuple(map(np.array, values)))
    return list(rows.map(change).as_numpy_iterator())


both_ways = pytest.mark.parametrize("done", [eagerly, in_tf_data])


def smoothed_targets(share):
    """What the training step makes of labels that keep so much of their own."""
    one_hot = tf.one_hot(RECORDED["labels"], CLASSES)
    soft = share * one_hot + (1.0 - share) * one_hot[::-1]
    return losses.soft_targets(soft, CLASSES, SMOOTHING)


@both_ways
def test_mixup_is_timms(done):
    def blended(share):
        return mixup_cutmix.mixup(RECORDED["images"], share), smoothed_targets(share)

    found = done(blended, np.float32(RECORDED["shares"]))
    images, targets = (np.stack(part) for part in zip(*found, strict=True))
    # Rounding to whole levels, and a hair of float32.
    np.testing.assert_allclose(images, RECORDED["blended"], atol=0.5 + 1e-3)
    np.testing.assert_allclose(targets, RECORDED["blended_targets"], atol=1e-6)


@both_ways
@pytest.mark.parametrize("number", range(len(RECORDED["middles"])))
def test_cutmix_is_timms_about_the_same_middle(done, number):
    def pasted(share):
        middle = tf.constant(RECORDED["middles"][number], tf.int32)
        images, kept = mixup_cutmix.paste_around(RECORDED["images"], share, middle)
        return images, smoothed_targets(kept)

    found = done(pasted, np.float32(RECORDED["shares"]))
    images, targets = (np.stack(part) for part in zip(*found, strict=True))
    np.testing.assert_array_equal(images, RECORDED[f"pasted_{number}"])
    wanted = RECORDED[f"pasted_targets_{number}"]
    np.testing.assert_allclose(targets, wanted, atol=1e-6)


def test_boxes_of_cutmix_are_distributed_as_timm_draws_them():
    share, size = float(RECORDED["drawn_share"]), RECORDED["drawn_size"]
    # What comes from the mirrored image is 1.
    pair = np.stack([np.zeros((*size, 3), np.uint8), np.ones((*size, 3), np.uint8)])
    count = 4000

    def box(number):
        seed = tf.stack([number, tf.constant(9, tf.int64)])
        images, kept = mixup_cutmix.cutmix(tf.constant(pair), share, seed)
        rows = tf.where(tf.reduce_any(images[0, :, :, 0] == 1, axis=1))[:, 0]
        columns = tf.where(tf.reduce_any(images[0, :, :, 0] == 1, axis=0))[:, 0]
        ends = [rows[0], rows[-1] + 1, columns[0], columns[-1] + 1]
        return tf.stack([*(tf.cast(end, tf.float32) for end in ends), kept])

    boxes = tf.data.Dataset.range(count).map(box, num_parallel_calls=2)
    found = np.stack(list(boxes.as_numpy_iterator()))
    # Five standard errors of the difference of the means.
    error = RECORDED["boxes_std"] * (1 / count + 1 / int(RECORDED["draws"])) ** 0.5
    assert (np.abs(found.mean(axis=0) - RECORDED["boxes_mean"]) < 5 * error).all()
    np.testing.assert_allclose(found.std(axis=0), RECORDED["boxes_std"], rtol=0.05)


def batch(count: int = 6, size_px: int = 16) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    images = generator.integers(0, 256, (count, size_px, size_px, 3), dtype=np.uint8)
    return images, np.arange(count, dtype=np.int32)


def mixed(seed: int, augmentation: Augmentation) -> tuple[np.ndarray, np.ndarray]:
    images, labels = batch()
    both = mixup_cutmix.mixup_cutmix(
        tf.constant(images),
        tf.constant(labels),
        tf.constant([seed, 0], tf.int64),
        len(labels),
        augmentation,
    )
    return both[0].numpy(), both[1].numpy()


@pytest.mark.parametrize("seed", range(5))
def test_mixup_weighs_images_as_it_weighs_labels(seed):
    images, labels = batch()
    found, soft = mixed(seed, Augmentation(mixup=0.8))
    one_hot = np.eye(len(labels))
    share = soft[0, 0]
    np.testing.assert_allclose(soft, share * one_hot + (1 - share) * one_hot[::-1])
    wanted = share * images.astype(float) + (1 - share) * images[::-1]
    # Rounding to whole levels.
    np.testing.assert_allclose(found, wanted, atol=0.5001)


@pytest.mark.parametrize("seed", range(5))
def test_cutmix_pastes_a_box_and_its_area_is_the_labels_share(seed):
    images, _ = batch()
    found, soft = mixed(seed, Augmentation(cutmix=1.0))
    pasted = (found != images).any(axis=(0, 3))
    rows, columns = np.flatnonzero(pasted.any(1)), np.flatnonzero(pasted.any(0))
    if len(rows):
        box = np.ix_(
            range(6), range(rows[0], rows[-1] + 1), range(columns[0], columns[-1] + 1)
        )
        assert pasted[box[1][0], box[2][0]].all()
        np.testing.assert_array_equal(found[box], images[::-1][box])
    np.testing.assert_allclose(1 - soft[0, 0], pasted.mean(), atol=1e-6)


def test_the_share_of_mixup_has_the_moments_of_its_beta_distribution():
    share = tf.function(lambda seed: mixup_cutmix._beta(seed, 0.8))
    draws = np.array(
        [share(tf.constant([number, 1])).numpy() for number in range(2000)]
    )
    # Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1)). Five standard errors.
    variance = 1 / (4 * (2 * 0.8 + 1))
    assert abs(draws.mean() - 0.5) < 5 * (variance / 2000) ** 0.5
    # The fourth central moment is at most 1/16, which bounds the error of this one.
    assert abs(draws.var() - variance) < 5 * (1 / 16 / 2000) ** 0.5


def test_the_two_probabilities_decide_how_often_what_is_mixed():
    both = Augmentation(
        mixup=0.8, cutmix=1.0, mix_probability=0.6, mix_switch_probability=0.25
    )
    mix = tf.function(
        lambda seed: mixup_cutmix.mixup_cutmix(
            *map(tf.constant, batch()), seed, 6, both
        )
    )
    images, _ = batch()
    kinds = {"none": 0, "cutmix": 0, "mixup": 0}
    for seed in range(600):
        found, soft = (t.numpy() for t in mix(tf.constant([seed, 5], tf.int64)))
        if soft[0, 0] == 1.0:
            kinds["none"] += 1
            np.testing.assert_array_equal(found, images)
        elif ((found == images) | (found == images[::-1])).all():
            kinds["cutmix"] += 1
        else:
            kinds["mixup"] += 1
    # 600 * 0.4, 600 * 0.6 * 0.25, 600 * 0.6 * 0.75, each within five standard
    # deviations; a box so small that it is empty counts as none.
    for kind, share in (("none", 0.4), ("cutmix", 0.15), ("mixup", 0.45)):
        assert abs(kinds[kind] - 600 * share) < 5 * (600 * share * (1 - share)) ** 0.5


def test_a_batch_of_one_is_left_alone():
    image = np.full((1, 4, 4, 3), 9, np.uint8)
    found, soft = mixup_cutmix.mixup_cutmix(
        tf.constant(image),
        tf.constant([1]),
        tf.constant([0, 0], tf.int64),
        3,
        Augmentation(mixup=1.0, cutmix=1.0),
    )
    np.testing.assert_array_equal(found, image)
    np.testing.assert_allclose(soft, [[0, 1, 0]])
