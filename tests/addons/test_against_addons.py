"""The project's own pieces against tensorflow-addons' (recorded by make_recorded.py).

Where the two differ on purpose, the test says how, and holds the difference fast.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_convnext.layers import StochasticDepth
from keras_convnext.optimizers import LayerwiseAdamW
from keras_convnext.preprocessing import Preprocessing
from training.augment import affine as geometry
from training.augment import color_ops as operations
from training.augment import random_erasing
from training.engine import step
from training.engine.train_state import TrainState


def test_stochastic_depth_is_addons_but_for_where_it_scales(recorded):
    """Addons keep the branch as it is and shrink it at inference; here the branch
    grows while training, so that inference needs no layer. And they draw once for a
    batch, here every example draws for itself.
    """
    keep = float(recorded["depth/keep_probability"])
    shortcut, branch = recorded["depth/shortcut"], recorded["depth/branch"]
    layer = StochasticDepth(rate=1.0 - keep, seed=0)

    # Inference: an added layer of theirs is keep times one of ours.
    ours = shortcut + keep * layer(tf.constant(branch), training=False).numpy()
    np.testing.assert_allclose(recorded["depth/inference"], ours, atol=1e-6)

    drawn = np.stack([layer(branch, training=True).numpy() for _ in range(50)])
    kept = drawn[:, :, 0] != 0
    theirs = recorded["depth/training"] - shortcut
    theirs_kept = np.any(theirs != 0, axis=(1, 2))
    assert 0 < theirs_kept.sum() < 50
    # What is kept, is theirs over the probability of keeping; what is not, is nothing.
    np.testing.assert_allclose(
        keep * drawn[kept], np.broadcast_to(branch, drawn.shape)[kept], rtol=1e-6
    )
    np.testing.assert_allclose(
        theirs[theirs_kept],
        np.broadcast_to(branch, theirs.shape)[theirs_kept],
        rtol=1e-5,
    )
    assert not drawn[~kept].any()
    # Theirs never drops one example of a batch alone.
    assert (kept[:, 0] != kept[:, 1]).any()
    assert ((theirs[:, 0] != 0).any(axis=1) == (theirs[:, 1] != 0).any(axis=1)).all()


def test_stochastic_depth_keeps_as_often_as_addons(recorded):
    keep, draws = float(recorded["depth/keep_probability"]), 4000
    layer = StochasticDepth(rate=1.0 - keep, seed=1)
    ours = np.mean(layer(np.ones((draws, 1), np.float32), training=True).numpy() > 0)
    # Five standard deviations of the difference between two shares.
    spread = (keep * (1 - keep) * (1 / draws + 1 / int(recorded["depth/draws"]))) ** 0.5
    assert abs(ours - float(recorded["depth/kept"])) < 5 * spread


@pytest.fixture
def trajectories(recorded):
    """The weights and their average, after each recorded gradient."""
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    rate = float(recorded["adamw/learning_rate"])
    with strategy.scope():
        model, averaged = (
            keras.Sequential([keras.Input((5,)), keras.layers.Dense(4, use_bias=False)])
            for _ in range(2)
        )
        # Addons take weight_decay of the weights away in every step, whatever the
        # learning rate is; here, as in torch, learning_rate * weight_decay.
        optimizer = LayerwiseAdamW(
            rate,
            weight_decay=float(recorded["adamw/decay_of_a_step"]) / rate,
            epsilon=float(recorded["adamw/epsilon"]),
        )
        optimizer.build(model.trainable_variables)
    for one in (model, averaged):
        one.set_weights([recorded["adamw/start"]])
    train_state = TrainState(model, optimizer, averaged)
    decay = float(recorded["adamw/average_decay"])

    @tf.function
    def take(gradient):
        strategy.run(
            lambda: step.update(
                train_state, [gradient], decay, finite=tf.constant(True)
            )
        )

    weights, averages = [], []
    for gradient in recorded["adamw/gradients"]:
        take(tf.constant(gradient))
        weights.append(model.get_weights()[0])
        averages.append(averaged.get_weights()[0])
    return np.stack(weights), np.stack(averages)


def test_adamw_goes_where_addons_adamw_goes(recorded, trajectories):
    # Thirty float32 steps at values of about 1. The default epsilons, 1e-8 here and
    # 1e-7 there, are added at different places: both sides have next to none.
    np.testing.assert_allclose(trajectories[0], recorded["adamw/values"], atol=2e-6)


def test_the_average_is_addons_moving_average(recorded, trajectories):
    np.testing.assert_allclose(trajectories[1], recorded["adamw/averages"], atol=2e-6)


def eagerly(change, image):
    """What a change makes of an image."""
    return change(tf.constant(image))


def in_tf_data(change, image):
    """The same inside of tf.data, as in training."""
    images = tf.data.Dataset.from_tensors(image).map(change)
    return images.get_single_element()


both_ways = pytest.mark.parametrize("done", [eagerly, in_tf_data])


def apart(found, wanted, border=0):
    inside = slice(border, -border or None)
    difference = np.abs(found.numpy().astype(int) - wanted.astype(int))
    return difference[inside, inside]


@both_ways
def test_equalize_is_addons(recorded, done):
    found = done(operations.equalize, recorded["image/noisy"])
    assert apart(found, recorded["image/equalize"]).max() == 0


@both_ways
@pytest.mark.parametrize("factor", [0.1, 1.9])
def test_sharpness_is_addons_but_for_rounding(recorded, done, factor):
    """Addons cut fractions off the blurred image and round the result; Pillow and
    this project do it the other way round.
    """
    found = done(
        lambda x: operations.sharpness(x, tf.constant(factor)), recorded["image/noisy"]
    )
    difference = apart(found, recorded[f"image/sharpness_{factor}"])
    # One level of the blurred one, times 0.9, and half a level of rounding.
    assert difference.max() <= 2
    assert difference.mean() < 1


@both_ways
@pytest.mark.parametrize("factor", [0.1, 1.9])
@pytest.mark.parametrize("name", ["color", "contrast", "brightness"])
def test_blends_are_addons_but_for_rounding(recorded, done, name, factor):
    """Addons have `blend` alone; what is blended with is TensorFlow's gray there.

    Its gray cuts fractions off where Pillow's and this project's rounds, and addons
    round the result where Pillow and this project cut fractions off.
    """
    change = getattr(operations, name)
    found = done(lambda x: change(x, tf.constant(factor)), recorded["image/noisy"])
    difference = apart(found, recorded[f"image/{name}_{factor}"])
    # One level of gray, times 0.9, and one level of rounding.
    assert difference.max() <= 2
    assert difference.mean() < 1


FILL = (124, 116, 104)


@both_ways
def test_moves_by_whole_pixels_are_addons_to_the_bit(recorded, done):
    """Addons move the image, this project the place that is looked at."""
    image, fill = recorded["image/noisy"], recorded["image/fill"]
    side = image.shape[0]
    for name, move, pixels in (
        ("x", geometry.translate_x, 16),
        ("y", geometry.translate_y, -8),
    ):
        share = tf.constant(-pixels / side)
        found = done(lambda x, m=move, s=share: m(x, s, tf.constant(fill)), image)
        assert apart(found, recorded[f"image/translate_{name}"]).max() == 0


@both_ways
def test_a_quarter_turn_is_addons(recorded, done):
    found = done(
        lambda x: geometry.rotate(x, tf.constant(90.0), tf.zeros(3, tf.uint8)),
        recorded["image/smooth"],
    )
    # Places are whole but for a rounding error, levels are cut off; at the border
    # theirs lie a rounding error outside of the image.
    assert apart(found, recorded["image/rotate_90"], border=1).max() <= 1
    turned = np.rot90(recorded["image/smooth"])
    assert apart(found, turned).max() <= 1


@both_ways
@pytest.mark.parametrize("degrees", [27, -13])
def test_rotation_is_addons_but_for_the_interpolation(recorded, done, degrees):
    """Addons take the nearest pixel or two by two of them, Pillow four by four."""
    turn = tf.constant(float(degrees))
    found = done(
        lambda x: geometry.rotate(x, turn, tf.zeros(3, tf.uint8)),
        recorded["image/smooth"],
    )
    # On a smooth image, away from corners that come from outside.
    middle = apart(found, recorded[f"image/rotate_{degrees}"], border=14)
    assert middle.mean() < 1
    assert middle.max() <= 4


@both_ways
@pytest.mark.parametrize("level", [0.27, -0.21])
@pytest.mark.parametrize("axis", ["x", "y"])
def test_shear_is_addons_but_for_the_interpolation(recorded, done, axis, level):
    """Addons shear about the middle of the first pixel and take the nearest one."""
    shear = {"x": geometry.shear_x, "y": geometry.shear_y}[axis]
    fill, image = tf.constant(recorded["image/fill"]), recorded["image/smooth"]

    def sheared(level):
        return done(lambda x: shear(x, tf.constant(level), fill), image)

    difference = apart(sheared(level), recorded[f"image/shear_{axis}_{level}"])
    # Levels change by up to 20 a pixel; places differ by half a pixel and more.
    assert np.median(difference) <= 6
    # The other way round it would be ten times as much.
    turned = apart(sheared(-level), recorded[f"image/shear_{axis}_{level}"])
    assert np.median(turned) > 12


@both_ways
def test_erasing_hits_what_addons_cutout_hits(recorded, done, monkeypatch):
    """Where both are given one box; here noise comes in, there a single level."""
    size, middle = recorded["image/cutout_size"], recorded["image/cutout_middle"]
    box = tf.unstack(tf.constant(np.concatenate([middle - size // 2, size])))
    monkeypatch.setattr(random_erasing, "sample_box", lambda height, width, seed: box)
    seed = tf.constant([1, 2], tf.int64)
    # Levels of the noise: 255 plus and minus nothing, which the image never has.
    bright = Preprocessing(mean=(1.0, 1.0, 1.0), std=(1e-6, 1e-6, 1e-6))
    image = np.minimum(recorded["image/noisy"], 254)
    found = done(
        lambda x: random_erasing.random_erase(x, seed, 1.0, bright), image
    ).numpy()
    hit = recorded["image/cutout"] == 0
    assert hit.sum() == size.prod()
    np.testing.assert_array_equal((found == 255).all(axis=-1), hit)
    np.testing.assert_array_equal(found[~hit], image[~hit])
