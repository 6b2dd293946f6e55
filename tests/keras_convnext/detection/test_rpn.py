"""The region proposal network, at some places and on whole maps."""

import keras
import numpy as np
import pytest

from keras_convnext.detection._neighborhoods import neighborhoods
from keras_convnext.detection.rpn import Proposals, rpn_head

SIZES = ((5, 7), (3, 4), (1, 2))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a gradient tape")
def test_at_some_places_it_says_and_learns_what_it_does_on_whole_maps():
    import tensorflow as tf

    random = np.random.default_rng(0)
    maps = [tf.constant(random.normal(size=(2, *s, 4)), tf.float32) for s in SIZES]
    head = rpn_head(4)
    head(maps[0])
    cells = np.stack([random.permutation(5 * 7 + 3 * 4 + 1 * 2) for _ in range(2)])
    factors = tf.constant(random.normal(size=(*cells.shape, 15)), tf.float32)

    def of_places():
        around = neighborhoods(maps, cells.astype("int32"))
        return tf.reshape(tf.concat(head(around), -1)[:, 1, 1], (2, -1, 15))

    def of_maps():
        rows = [tf.reshape(tf.concat(head(each), -1), (2, -1, 15)) for each in maps]
        return tf.gather(tf.concat(rows, 1), cells, batch_dims=1)

    results = []
    for outputs_of in (of_places, of_maps):
        with tf.GradientTape() as tape:
            tape.watch(maps)
            outputs = outputs_of()
            total = tf.reduce_sum(outputs * factors)
        learned = tape.watched_variables()
        gradients = tape.gradient(total, [*maps, *learned])
        results.append([outputs, *map(tf.convert_to_tensor, gradients)])
    assert len(results[0]) == 1 + 3 + 6
    # Sums of up to 98 numbers around 1, with weights of 0.01, in another order.
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6, rtol=2e-6)


def test_the_surer_box_comes_first_though_both_are_certain_in_float32():
    logits = np.full((1, 16, 16, 3), -5, "float32")
    # Squares of 8 strides of 4 pixels around the corners of two cells.
    logits[0, 3, 3, 1], logits[0, 10, 10, 1] = 20, 25
    assert np.float32(1 / (1 + np.exp(-np.float32(20)))) == 1
    propose = Proposals(2, strides=(4,))
    deltas, image = np.zeros((1, 16, 16, 12)), np.zeros((1, 64, 64, 3))
    found = propose([logits], [deltas.astype("float32")], image)
    np.testing.assert_allclose(found[0], [[24, 24, 56, 56], [0, 0, 28, 28]])
