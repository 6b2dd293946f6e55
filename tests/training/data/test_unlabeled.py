"""Images without labels: any depth, parts, what is refused, and their masks."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_convnext._data.data_error import DataError
from tests.checks import write_arrays
from tests.training.segmentation_data import write_shapes
from tests.training.unlabeled_data import SIDE_PX, write_waves
from training.data import loading, unlabeled
from training.recipes.augmentation import Augmentation


def load(spec, **arguments):
    return unlabeled.load(spec, size_px=SIDE_PX, patch_px=8, **arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_waves(tmp_path_factory.mktemp("waves"), count=20)


def numbers(examples):
    return {int(Path(name).stem) for name in examples.names()}


def test_images_at_any_depth_are_split_by_share_and_seed(folder):
    (folder / ".hidden").mkdir(exist_ok=True)
    (folder / ".hidden" / "99.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no image")
    source = load(f"images:{folder}")
    train, validation = numbers(source.training), numbers(source.validation)
    assert (len(train), len(validation), source.drawn) == (16, 4, True)
    assert train | validation == set(range(20))
    assert source.classes == ()
    assert numbers(load(f"images:{folder}").validation) == validation
    assert numbers(load(f"images:{folder}", seed=1).validation) != validation


def test_train_and_val_are_the_parts_where_both_are_there(tmp_path):
    write_waves(tmp_path / "train", 6)
    write_waves(tmp_path / "Val", 3, first=50)
    write_waves(tmp_path / "other", 2, first=70)
    source = load(f"images:{tmp_path}")
    assert numbers(source.training) == set(range(6))
    assert numbers(source.validation) == {50, 51, 52}
    assert not source.drawn


def test_the_labels_of_other_data_are_left_alone(tmp_path):
    arrays = write_arrays(tmp_path / "a.npz")
    masks = write_shapes(tmp_path / "masks", training=5, validation=2)
    classes = tmp_path / "classes"
    for name in ("one", "two"):
        write_waves(classes / name, 4)
    counts = {
        f"array:{arrays}": (32, 8),
        f"masks:{masks}": (5, 2),
        f"folder:{classes}": (6, 2),
    }
    for spec, (train, validation) in counts.items():
        source = load(spec)
        assert source.classes == ()
        assert (source.train_examples, source.validation_examples) == (
            train,
            validation,
        )
        augment = Augmentation(crop_scale=(0.5, 1.0))
        images, orders = next(iter(source.train(2, epoch=0, seed=0, augment=augment)))
        assert images.shape == (2, SIDE_PX, SIDE_PX, 3)
        assert orders.shape == (2, 16)


def test_masks_are_permutations_other_in_each_epoch_and_the_same_in_validation(folder):
    source = load(f"images:{folder}")
    augment = Augmentation(crop_scale=(0.5, 1.0), flip=True)

    def train(epoch, **share):
        batches = source.train(8, epoch=epoch, seed=3, augment=augment, **share)
        return [np.concatenate(part) for part in zip(*batches, strict=True)]

    images, orders = train(0)
    assert images.shape == (16, SIDE_PX, SIDE_PX, 3)
    assert (np.sort(orders, axis=1) == np.arange(16)).all()
    assert len({tuple(order) for order in orders}) == 16
    np.testing.assert_array_equal(orders, train(0)[1])
    assert (orders != train(1)[1]).any()
    # What resumes in the middle, and what two workers share, is the same.
    np.testing.assert_array_equal(orders[8:], train(0, start_batch=1)[1])
    shares = [train(0, worker=worker, workers=2)[1] for worker in range(2)]
    both = np.concatenate([part.reshape(2, 4, 16) for part in shares], axis=1)
    np.testing.assert_array_equal(orders, both.reshape(16, 16))

    first, second = (list(source.validation_batches(3)) for _ in range(2))
    for (_, one, weights), (_, two, _) in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, two)
        assert (np.sort(one, axis=1)[weights > 0] == np.arange(16)).all()
    assert sum(float(weights.numpy().sum()) for _, _, weights in first) == 4
    # However the images are batched.
    alone = [order.numpy()[0] for _, order, _ in source.validation_batches(1)]
    np.testing.assert_array_equal(alone[:3], first[0][1])


def test_what_cannot_be_used_is_refused_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    one = write_waves(tmp_path / "one", 1)
    bad = write_waves(tmp_path / "bad", 5)
    (bad / "0.png").write_bytes(b"no image at all")
    texts = {
        f"images:{tmp_path / 'nowhere'}": "does not exist",
        f"images:{tmp_path / 'empty'}": "has no image files, at any depth",
        f"images:{one}": "has 1 that can be read: pre-training needs an image to learn",
        "images:": "names no folder. Give images:DIR, which takes every image",
        f"folder:{one}": "For images without class folders: images:DIR",
    }
    for spec, text in texts.items():
        with pytest.raises(DataError, match=re.escape(text)):
            load(spec)
    with pytest.raises(DataError, match=r"1 of 5 images cannot be used"):
        load(f"images:{bad}")
    source = load(f"images:{bad}", skip_bad_images=True)
    assert source.train_examples + source.validation_examples == 4
    assert [Path(path).name for path, _ in source.skipped] == ["0.png"]


def test_a_classifier_says_what_images_without_labels_are_for(folder):
    with pytest.raises(DataError, match="Recipes that pre-train take it"):
        loading.load(f"images:{folder}", size_px=SIDE_PX)


def test_an_image_that_is_in_both_parts_is_named(tmp_path):
    write_waves(tmp_path / "train", 3)
    (tmp_path / "val").mkdir()
    image = Image.open(tmp_path / "train" / "0.png")
    image.save(tmp_path / "val" / "again.png")
    copy = (tmp_path / "train" / "0.png").read_bytes()
    (tmp_path / "val" / "again.png").write_bytes(copy)
    source = load(f"images:{tmp_path}")
    assert any("duplicates" in line for line in source.notices)
