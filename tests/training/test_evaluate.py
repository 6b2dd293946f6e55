"""Figures made of a model's answers."""

import numpy as np
import pytest
import tensorflow as tf

from training import distribution, evaluate
from training.cluster import Cluster
from training.step import make_evaluation_step

# Four pictures, three classes; the answers are 0, 2, 1, 1.
PROBABILITIES = np.array(
    [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.25, 0.5, 0.25], [0.2, 0.5, 0.3]], np.float32
)
LABELS = np.array([0, 2, 0, 1])


def test_the_figures_of_four_answers():
    verdicts = evaluate.verdicts_of(LABELS, PROBABILITIES)
    assert verdicts.top1 == 3 / 4
    assert verdicts.top5 == 1.0
    # float32 logarithms.
    expected = -np.log([0.7, 0.6, 0.25, 0.5]).mean()
    assert verdicts.loss == pytest.approx(expected, rel=1e-6)
    np.testing.assert_array_equal(
        verdicts.confusion(), [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    )


def test_the_calibration_error_is_the_papers():
    # Two bins: confidences 0.3 and 0.4 with one right answer of two, and 0.6, 0.7 and
    # 0.8 with one of three.
    labels = np.array([0, 1, 0, 1, 1])
    top = np.array([[0], [0], [0], [0], [0]])
    confidence = np.array([0.3, 0.4, 0.6, 0.7, 0.8])
    verdicts = evaluate.Verdicts(labels, top, confidence, np.zeros(5), classes=2)
    expected = 2 / 5 * abs(0.35 - 1 / 2) + 3 / 5 * abs(0.7 - 1 / 3)
    assert verdicts.calibration_error(bins=2) == pytest.approx(expected)


def test_the_label_counts_among_the_first_five_of_many():
    probabilities = np.arange(8, 0, -1, dtype=np.float32)[None] / 36
    fifth = evaluate.verdicts_of(np.array([4]), probabilities)
    sixth = evaluate.verdicts_of(np.array([5]), probabilities)
    assert (fifth.top5, sixth.top5) == (1.0, 0.0)


def test_padding_counts_for_nothing(one_device):
    """The step and the collection, on a batch with two rows of weight 0."""
    scores = np.log(np.concatenate([PROBABILITIES, np.full((2, 3), 1 / 3)]))
    # The picture's first value is the row of `scores` that is its answer.
    images = np.zeros((6, 1, 1, 3), np.float32)
    images[:, 0, 0, 0] = np.arange(6)
    batches = tf.data.Dataset.from_tensor_slices(
        (images, np.int32([*LABELS, 0, 0]), np.float32([1, 1, 1, 1, 0, 0]))
    ).batch(3)

    def forward(images):
        return tf.gather(
            tf.constant(scores, tf.float32), tf.cast(images[:, 0, 0, 0], tf.int32)
        )

    alone = Cluster()
    verdicts = evaluate.evaluate(
        distribution.spread(lambda worker, workers: batches, one_device, alone),
        make_evaluation_step(forward, one_device),
        lambda value: distribution.collected(value, one_device, alone),
        classes=3,
    )
    at_hand = evaluate.verdicts_of(LABELS, PROBABILITIES)
    np.testing.assert_array_equal(verdicts.labels, LABELS)
    np.testing.assert_array_equal(verdicts.top[:, 0], [0, 2, 1, 1])
    np.testing.assert_allclose(verdicts.losses, at_hand.losses, rtol=1e-6)
    np.testing.assert_allclose(verdicts.confidence, [0.7, 0.6, 0.5, 0.5], rtol=1e-6)
