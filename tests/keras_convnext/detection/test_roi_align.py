"""RoIAlign against the loop over sampling points."""

import keras
import numpy as np
import pytest

from keras_convnext.detection import roi_align
from tests.keras_convnext.detection.numpy_detector import roi_align as by_points

HEIGHT, WIDTH = 128, 288


def levels(batch=1, channels=2, seed=0):
    random = np.random.default_rng(seed)
    return [
        random.normal(size=(batch, HEIGHT // s, WIDTH // s, channels)).astype("float32")
        for s in (4, 8, 16, 32)
    ]


def boxes():
    """All sizes and shapes: thin, whole, empty, of less than a cell, beyond the map."""
    random = np.random.default_rng(1)
    center = random.uniform(0, 1, (24, 2)) * [HEIGHT, WIDTH]
    sides = np.exp(random.uniform(-1, 5.5, (24, 2)))
    some = np.concatenate([center - sides / 2, center + sides / 2], 1)
    some[:6] = [
        *([0, 0, HEIGHT, WIDTH], [60, 0, 62, WIDTH], [0, 100, HEIGHT, 101]),
        *([5, 5, 5, 9], [3.1, 3.1, 3.2, 3.2], [-30, -30, 20, 20]),
    ]
    return some.astype("float32")


@pytest.mark.parametrize("size", [7, 14])
def test_a_bin_is_the_mean_over_about_a_point_a_cell(size):
    maps = levels()
    found = np.asarray(roi_align(maps, boxes()[None], size))[0]
    for box, each in zip(boxes()[:, [1, 0, 3, 2]], found, strict=True):
        expected = by_points([level[0] for level in maps], box, size)
        # A place of up to 72 cells has 4e-6 in float32, and maps have slopes of 4.
        np.testing.assert_allclose(each, expected, atol=5e-5)


def test_each_image_of_a_batch_reads_its_own_maps():
    maps, some = levels(batch=2), np.stack([boxes()[:5], boxes()[6:11]])
    found = np.asarray(roi_align(maps, some))
    for image in range(2):
        alone = roi_align([m[image : image + 1] for m in maps], some[image : image + 1])
        np.testing.assert_array_equal(found[image], alone[0])


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a gradient tape")
def test_it_compiles_with_its_gradient_and_computes_in_bfloat16():
    import tensorflow as tf

    maps = [tf.constant(level) for level in levels()]
    some = tf.constant(boxes()[None])

    def with_gradient(maps, some):
        with tf.GradientTape() as tape:
            tape.watch([*maps, some])
            aligned = roi_align(maps, some)
            total = tf.reduce_sum(aligned * aligned) / 2
        return aligned, tape.gradient(total, [*maps, some])

    aligned, gradients = with_gradient(maps, some)
    compiled, compiled_gradients = tf.function(with_gradient, jit_compile=True)(
        maps, some
    )
    np.testing.assert_allclose(compiled, aligned, atol=5e-5)
    assert gradients[-1] is None is compiled_gradients[-1]
    # It is linear in the maps: half the square's gradient along them is its square.
    along = sum(
        tf.reduce_sum(m * tf.convert_to_tensor(g))
        for m, g in zip(maps, gradients[:-1], strict=True)
    )
    np.testing.assert_allclose(along, tf.reduce_sum(aligned**2), rtol=1e-5)
    for one, other in zip(gradients[:-1], compiled_gradients[:-1], strict=True):
        np.testing.assert_allclose(
            tf.convert_to_tensor(one), tf.convert_to_tensor(other), atol=5e-4
        )
    coarse = roi_align([tf.cast(level, "bfloat16") for level in maps], some)
    assert coarse.dtype == tf.bfloat16
    # Values of up to 4 with 8 bits.
    np.testing.assert_allclose(tf.cast(coarse, "float32"), aligned, atol=0.03)
