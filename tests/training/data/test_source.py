"""Batches: every image once, the same again for the same seed, resumable."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_convnext.preprocessing import Preprocessing
from training import data
from training.recipes.augmentation import Augmentation

NOTHING = Augmentation()
LIVELY = Augmentation(crop_scale=(0.3, 1.0), flip=True, shift_px=2, mixup=0.8, cutmix=1)
# Everything that draws random numbers.
ALL = replace(LIVELY, rand_augment="rand-m9-mstd0.5-inc1", random_erasing=0.5)
CLASSES = tuple("abcde")


def source(train: int = 23, validation: int = 10, size_px: int = 8) -> data.Source:
    """Images that are noise but for their first pixel, which is their number."""
    generator = np.random.default_rng(0)

    def images(count: int) -> np.ndarray:
        made = generator.integers(0, 256, (count, size_px, size_px, 3), dtype=np.uint8)
        made[:, 0, 0, 0] = np.arange(count)
        return made

    return data.from_arrays(
        images(train),
        np.arange(train) % len(CLASSES),
        images(validation),
        np.arange(validation) % len(CLASSES),
        CLASSES,
    )


def epoch(
    of: data.Source,
    batch: int = 4,
    augment: Augmentation = NOTHING,
    epoch: int = 0,
    seed: int = 0,
    **more: int,
) -> list[tuple[np.ndarray, np.ndarray]]:
    batches = of.train(batch, epoch=epoch, seed=seed, augment=augment, **more)
    return list(batches.as_numpy_iterator())


def numbers(batches: list) -> list[int]:
    return [int(n) for images, *_ in batches for n in images[:, 0, 0, 0]]


def assert_equal(found: list, expected: list) -> None:
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        for tensor, wanted in zip(one, other, strict=True):
            np.testing.assert_array_equal(tensor, wanted)


def test_an_epoch_holds_every_image_once_with_its_label():
    batches = epoch(source(), drop_remainder=False)
    assert [len(labels) for _, labels in batches] == [4, 4, 4, 4, 4, 3]
    seen = numbers(batches)
    assert sorted(seen) == list(range(23))
    assert seen != sorted(seen)
    labels = np.concatenate([labels for _, labels in batches])
    np.testing.assert_array_equal(labels, np.array(seen) % len(CLASSES))


def test_a_dropped_remainder_leaves_full_batches_of_a_fixed_shape():
    of = source()
    dataset = of.train(4, epoch=0, seed=0, augment=NOTHING)
    assert dataset.element_spec[0].shape == (4, 8, 8, 3)
    assert dataset.element_spec[0].dtype == tf.uint8
    assert dataset.element_spec[1].dtype == tf.int32
    assert len(list(dataset)) == of.steps_per_epoch(4) == 5
    assert of.steps_per_epoch(4, drop_remainder=False) == 6


def test_the_same_seed_and_epoch_give_the_same_batches():
    assert_equal(epoch(source(), augment=ALL), epoch(source(), augment=ALL))


@pytest.mark.parametrize("other", [{"epoch": 1}, {"seed": 1}])
def test_another_epoch_or_seed_gives_another_order_and_other_views(other):
    assert numbers(epoch(source())) != numbers(epoch(source(), **other))
    # One image alone, so that its order cannot be what differs.
    (first, _), (second, _) = (
        epoch(source(train=1), 1, Augmentation(crop_scale=(0.1, 1.0)), **which)[0]
        for which in ({}, other)
    )
    assert (first != second).any()


def test_views_do_not_depend_on_how_many_threads_make_them():
    def with_threads(count: int) -> list:
        dataset = source().train(4, epoch=0, seed=0, augment=ALL)
        options = tf.data.Options()
        options.threading.private_threadpool_size = count
        return list(dataset.with_options(options).as_numpy_iterator())

    assert_equal(with_threads(1), with_threads(8))


@pytest.mark.parametrize("start_batch", [1, 3, 4])
def test_an_epoch_entered_midway_goes_on_as_if_it_had_not_been_left(start_batch):
    whole = epoch(source(), augment=LIVELY)
    rest = epoch(source(), augment=LIVELY, start_batch=start_batch)
    assert_equal(rest, whole[start_batch:])


def test_workers_share_each_batch_without_gap_or_overlap():
    views = replace(LIVELY, mixup=0.0, cutmix=0.0)
    whole = epoch(source(), 6, views)
    parts = [epoch(source(), 6, views, worker=worker, workers=3) for worker in range(3)]
    joined = [
        tuple(np.concatenate(tensors) for tensors in zip(*rows, strict=True))
        for rows in zip(*parts, strict=True)
    ]
    assert_equal(joined, whole)


def test_workers_mix_different_pairs():
    def labels(worker: int) -> np.ndarray:
        one_class = source()
        batches = epoch(one_class, 4, LIVELY, worker=worker, workers=2)
        return np.stack([labels.max(axis=1) for _, labels in batches])

    # The share that a row keeps differs where the draws do.
    assert (labels(0) != labels(1)).any()


def test_fewer_images_than_a_batch_are_repeated_to_fill_it():
    of = source(train=3)
    batches = epoch(of, 8)
    assert of.steps_per_epoch(8) == len(batches) == 1
    counts = np.bincount(numbers(batches), minlength=3)
    assert sorted(counts) == [2, 3, 3]


def test_a_batch_that_workers_cannot_share_evenly_is_refused():
    with pytest.raises(data.DataError, match="multiple of 4"):
        source().train(6, epoch=0, seed=0, augment=NOTHING, worker=0, workers=4)
    with pytest.raises(data.DataError, match="Worker 2 is none of the 2"):
        source().train(6, epoch=0, seed=0, augment=NOTHING, worker=2, workers=2)
    with pytest.raises(data.DataError, match="need full batches"):
        source().train(
            6, epoch=0, seed=0, augment=NOTHING, drop_remainder=False, workers=2
        )


def test_a_shift_as_long_as_the_image_is_refused():
    with pytest.raises(data.DataError, match="up to 8 pixels leaves nothing"):
        source(size_px=8).train(2, epoch=0, seed=0, augment=Augmentation(shift_px=8))


def test_evaluation_shows_every_image_once_and_fills_up_with_weight_zero():
    dataset = source(validation=10).validation_batches(4)
    for _ in range(2):  # The second pass comes from memory.
        batches = list(dataset.as_numpy_iterator())
        assert [images.shape for images, _, _ in batches] == [(4, 8, 8, 3)] * 3
        weights = np.concatenate([weights for _, _, weights in batches])
        np.testing.assert_array_equal(weights, [1.0] * 10 + [0.0] * 2)
        labels = np.concatenate([labels for _, labels, _ in batches])
        assert numbers(batches)[:10] == list(range(10))
        np.testing.assert_array_equal(labels[:10], np.arange(10) % len(CLASSES))


def test_evaluation_of_whole_batches_adds_nothing():
    batches = list(source(validation=8).validation_batches(4).as_numpy_iterator())
    assert len(batches) == 2
    assert all((weights == 1.0).all() for _, _, weights in batches)


def test_workers_evaluate_every_image_once_between_them():
    seen = []
    for worker in range(2):
        dataset = source(validation=10).validation_batches(4, worker=worker, workers=2)
        batches = list(dataset.as_numpy_iterator())
        # All take the same number of steps, or they would wait for each other.
        assert [len(weights) for _, _, weights in batches] == [2, 2, 2]
        for images, _, weights in batches:
            seen += images[weights > 0][:, 0, 0, 0].astype(int).tolist()
    assert sorted(seen) == list(range(10))


def test_sample_images_are_spread_over_the_evaluation_set():
    images, labels = source(validation=10).sample_images(4)
    assert images.dtype == np.uint8
    assert images[:, 0, 0, 0].tolist() == [0, 3, 6, 9]
    assert labels.tolist() == [0, 3, 1, 4]
    assert len(source(validation=10).sample_images(99)[0]) == 10


def test_images_of_another_size_are_resized():
    of = source(size_px=8)
    small = replace(of, preprocessing=replace(of.preprocessing, size_px=4))
    assert epoch(small)[0][0].shape == (4, 4, 4, 3)
    assert next(iter(small.validation_batches(4)))[0].shape == (4, 4, 4, 3)


def test_arrays_with_several_faults_are_refused_with_all_of_them():
    images, labels = np.zeros((3, 8, 8, 3), np.uint8), np.zeros(3, int)
    with pytest.raises(data.DataError) as caught:
        data.from_arrays(images.astype(float), labels[:2], images, labels, "ab")
    message = str(caught.value)
    assert "training" in message
    assert "float64" in message
    assert "(2,)" in message
    with pytest.raises(
        data.DataError, match=r"evaluation.*from 0 to 5, not from 0 to 1"
    ):
        data.from_arrays(images, labels, images, np.array([0, 1, 5]), "ab")


def test_gray_arrays_become_three_equal_channels():
    gray = np.arange(2 * 8 * 8, dtype=np.uint8).reshape(2, 8, 8)
    of = data.from_arrays(gray, [0, 1], gray, [0, 1], "ab")
    images, _, _ = next(of.validation_batches(2).as_numpy_iterator())
    for channel in range(3):
        np.testing.assert_array_equal(images[..., channel], gray)


def test_an_npz_file_is_loaded_with_or_without_class_names(tmp_path: Path):
    images = np.zeros((4, 8, 8, 3), np.uint8)
    arrays = {
        "train_images": images,
        # One byte, as many files have them.
        "train_labels": np.array([0, 1, 2, 0], np.uint8),
        "test_images": images,
        "test_labels": np.array([0, 1, 2, 0], np.uint8),
    }
    np.savez(tmp_path / "plain.npz", **arrays)
    plain = data.load(f"array:{tmp_path}/plain.npz", size_px=8)
    assert plain.classes == ("0", "1", "2")
    assert (plain.train_examples, plain.validation_examples) == (4, 4)
    np.savez(tmp_path / "named.npz", **arrays, classes=np.array(["x", "y", "z"]))
    assert data.load(f"array:{tmp_path}/named.npz", size_px=8).classes == tuple("xyz")


def test_an_npz_file_without_its_arrays_is_refused(tmp_path: Path):
    np.savez(tmp_path / "other.npz", train_images=np.zeros(3), x=np.zeros(3))
    with pytest.raises(data.DataError, match="no train_labels, test_images"):
        data.load(f"array:{tmp_path}/other.npz", size_px=8)
    (tmp_path / "text.npz").write_text("hello")
    for name in ("text", "absent"):
        with pytest.raises(data.DataError, match=rf"{name}\.npz cannot be read"):
            data.load(f"array:{tmp_path}/{name}.npz", size_px=8)


@pytest.mark.parametrize("spec", ["", "folder:", "nonsense:thing", "array:"])
def test_a_spec_that_names_no_data_is_refused_with_what_can_be_given(spec):
    with pytest.raises(
        data.DataError, match=r"folder:PATH, files:LIST\.csv, array:PATH\.npz"
    ):
        data.load(spec, size_px=8)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_a_share_that_leaves_no_validation_images_is_refused(share):
    with pytest.raises(data.DataError, match="between 0 and 1"):
        data.load("digits", size_px=8, validation_share=share)


def test_a_given_preprocessing_is_what_evaluation_does(tmp_path: Path):
    ramp = np.broadcast_to(
        np.arange(16, dtype=np.uint8)[None, None, :, None] * 10, (2, 16, 16, 3)
    )
    cropped = Preprocessing(size_px=8, crop_fraction=0.5)
    of = data.from_arrays(ramp, [0, 1], ramp, [0, 1], "ab", preprocessing=cropped)
    images, _, _ = next(of.validation_batches(2).as_numpy_iterator())
    # Half of 16 pixels at their own size: columns 4 to 11.
    np.testing.assert_array_equal(images[0, 0, :, 0], np.arange(4, 12) * 10)


def test_names_of_version_0_1_work_with_a_warning():
    made = source()
    with pytest.warns(DeprecationWarning, match="now called Source.validation_exa"):
        assert made.eval_examples == 10
    with pytest.warns(DeprecationWarning, match="now called Source.validation_batch"):
        (batch,) = made.evaluation(10, worker=0, workers=1)
    assert batch[0].shape[0] == 10
    with pytest.raises(AttributeError, match="Source has no attribute 'examples'"):
        made.examples  # noqa: B018


def test_images_come_in_the_order_of_their_numbers(tiny_source):
    every, labels = tiny_source.validation_images(range(13))
    wanted = [11, 0, 5, 12, 3]
    images, found = tiny_source.validation_images(wanted)
    for place, number in enumerate(wanted):
        np.testing.assert_array_equal(images[place], every[number])
        assert found[place] == labels[number]
    # No two are alike, so that another order would be seen.
    assert len(np.unique(every.reshape(13, -1), axis=0)) == 13
