"""Folds have each class's share, and every image is validated on once."""

import numpy as np
import pytest
from PIL import Image
from sklearn.model_selection import StratifiedKFold

from keras_convnext._data.data_error import DataError
from training import data
from training.data import folds
from training.data.run_split import Choice, RunSplit, words


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_folds_have_as_many_of_each_class_as_scikit_learns(count):
    labels = np.sort(np.random.default_rng(0).integers(0, 7, 203))
    found = folds.assign(labels, count, seed=3)
    numbers = [np.bincount(labels[found == fold], minlength=7) for fold in range(count)]
    reference = StratifiedKFold(count, shuffle=True, random_state=0)
    expected = [
        np.bincount(labels[rows], minlength=7)
        for _, rows in reference.split(labels, labels)
    ]
    np.testing.assert_array_equal(numbers, expected)


def test_the_seed_decides_which_images_are_in_a_fold():
    labels = np.repeat([0, 1], 20)
    one, again, other = (folds.assign(labels, 4, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_the_numbers_of_the_classes_do_not_matter():
    labels = np.random.default_rng(0).integers(0, 4, 50)
    renumbered = np.array([2, 0, 3, 1])[labels]
    one, other = (folds.assign(each, 5, seed=1) for each in (labels, renumbered))
    np.testing.assert_array_equal(one, other)


@pytest.fixture
def photos(tmp_path):
    """Twelve images of one class and nine of another, each of its own color."""
    for name, count, red in (("cat", 12, 10), ("dog", 9, 90)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(count):
            image = Image.new("RGB", (16, 16), (red + number, 0, 0))
            image.save(tmp_path / "photos" / name / f"{number:02}.png")
    return f"folder:{tmp_path}/photos"


def test_every_file_is_validated_on_once_and_never_trained_on_then(photos):
    parts = [
        data.load(photos, size_px=16, folds=3, fold=fold, seed=5) for fold in (1, 2, 3)
    ]
    shown = [set(part.validation.names()) for part in parts]
    assert len(set.union(*shown)) == sum(map(len, shown)) == 21
    for part, names in zip(parts, shown, strict=True):
        assert not names & set(part.training.names())
        assert np.bincount(part.validation.labels).tolist() == [4, 3]


def test_images_and_labels_stay_together(photos):
    part = data.load(photos, size_px=16, folds=3, fold=2)
    images, labels = part.validation_images(range(part.validation_examples))
    for image, label, name in zip(images, labels, part.validation.names(), strict=True):
        assert name.split("/")[-2] == ("cat", "dog")[label]
        assert image[8, 8, 0] == (10, 90)[label] + int(name[-6:-4])


def test_arrays_with_a_split_of_their_own_are_divided_anew(tmp_path):
    images = np.arange(12, dtype=np.uint8)[:, None, None, None] + np.zeros(
        (1, 4, 4, 3), np.uint8
    )
    labels = np.arange(12) % 2
    file = tmp_path / "data.npz"
    np.savez(
        file,
        train_images=images[:8],
        train_labels=labels[:8],
        test_images=images[8:],
        test_labels=labels[8:],
    )
    parts = [
        data.load(f"array:{file}", size_px=4, folds=2, fold=fold) for fold in (1, 2)
    ]
    seen = [set(part.validation.images[:, 0, 0, 0].tolist()) for part in parts]
    assert seen[0] | seen[1] == set(range(12))
    assert not seen[0] & seen[1]
    assert any("its own split is not used" in line for line in parts[0].notices)


def test_a_class_with_fewer_images_than_folds_is_refused(photos):
    with pytest.raises(DataError, match=r"'dog' has 9; take fewer folds"):
        data.load(photos, size_px=16, folds=10, fold=1)


def test_a_model_is_evaluated_on_the_fold_of_its_run(photos, tmp_path):
    run = RunSplit(tmp_path / "recipe.json", {"seed": 0, "validation_share": 0.2})
    choice = Choice("validation", 0.2, 0, run, fold=(2, 3))
    source = data.load(photos, size_px=16, folds=3, fold=2)
    [line] = words(choice, source, photos)
    assert "the validation split: 7 of 21 images, fold 2 of 3 by seed 0" in line
