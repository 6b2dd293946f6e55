"""The smallest run that is one: a network of 0.4 million parameters, 40 images."""

import numpy as np
import pytest
import tensorflow as tf

from training import data
from training.recipes.augmentation import Augmentation
from training.recipes.table import Recipe

SIDE_PX = 16
CLASSES = ("left", "middle", "right")


def bars(count, seed):
    """Noise with a bright bar whose place is the class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    images = rng.integers(0, 120, (count, SIDE_PX, SIDE_PX, 3))
    for image, label in zip(images, labels, strict=True):
        image[:, 2 + 5 * label : 4 + 5 * label] += 130
    return images.astype(np.uint8), labels.astype(np.int32)


@pytest.fixture(scope="session")
def tiny_source():
    """40 training and 13 validation images, in three classes."""
    return data.from_arrays(*bars(40, seed=1), *bars(13, seed=2), CLASSES, name="bars")


@pytest.fixture
def tiny_recipe():
    """Two epochs of five steps, with everything random switched on."""
    return Recipe(
        name="tiny",
        variant="test_convnext2",
        size_px=SIDE_PX,
        patch_size=2,
        epochs=2,
        global_batch=8,
        peak_lr=1e-3,
        warmup_epochs=1,
        layer_scale_init_value=0.1,
        stochastic_depth_rate=0.3,
        clip_norm=1.0,
        ema_decay=0.9,
        augmentation=Augmentation(shift_px=1, flip=True),
    )


@pytest.fixture(scope="session")
def one_device():
    """A MirroredStrategy over one processor."""
    return tf.distribute.MirroredStrategy(["/cpu:0"])
