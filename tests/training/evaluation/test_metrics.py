"""Figures made of a model's answers."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from training.engine.tensorflow_backend import TensorFlowBackend
from training.evaluation import metrics
from training.recipes import resolve
from training.tasks import CLASSIFICATION

# Four images, three classes; the answers are 0, 2, 1, 1.
PROBABILITIES = np.array(
    [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.25, 0.5, 0.25], [0.2, 0.5, 0.3]], np.float32
)
LABELS = np.array([0, 2, 0, 1])


def test_the_figures_of_four_answers():
    predictions = metrics.predictions_from_probabilities(LABELS, PROBABILITIES)
    assert predictions.top1 == 3 / 4
    assert predictions.top5 == 1.0
    # float32 logarithms.
    expected = -np.log([0.7, 0.6, 0.25, 0.5]).mean()
    assert predictions.loss == pytest.approx(expected, rel=1e-6)
    np.testing.assert_array_equal(
        predictions.confusion(), [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    )


def test_the_calibration_error_is_the_papers():
    # Two bins: confidences 0.3 and 0.4 with one right answer of two, and 0.6, 0.7 and
    # 0.8 with one of three.
    labels = np.array([0, 1, 0, 1, 1])
    top = np.array([[0], [0], [0], [0], [0]])
    confidence = np.array([0.3, 0.4, 0.6, 0.7, 0.8])
    predictions = metrics.Predictions(labels, top, confidence, np.zeros(5), classes=2)
    expected = 2 / 5 * abs(0.35 - 1 / 2) + 3 / 5 * abs(0.7 - 1 / 3)
    assert predictions.calibration_error(bins=2) == pytest.approx(expected)


def test_the_label_counts_among_the_first_five_of_many():
    probabilities = np.arange(8, 0, -1, dtype=np.float32)[None] / 36
    fifth = metrics.predictions_from_probabilities(np.array([4]), probabilities)
    sixth = metrics.predictions_from_probabilities(np.array([5]), probabilities)
    assert (fifth.top5, sixth.top5) == (1.0, 0.0)


def test_padding_counts_for_nothing(one_device):
    """The step and the collection, on a batch with two rows of weight 0."""
    scores = np.log(np.concatenate([PROBABILITIES, np.full((2, 3), 1 / 3)]))
    # The image's first value is the row of `scores` that is its answer.
    images = np.zeros((6, 1, 1, 3), np.float32)
    images[:, 0, 0, 0] = np.arange(6)
    batches = tf.data.Dataset.from_tensor_slices(
        (images, np.int32([*LABELS, 0, 0]), np.float32([1, 1, 1, 1, 0, 0]))
    ).batch(3)

    def model(images, training):
        return tf.gather(
            tf.constant(scores, tf.float32), tf.cast(images[:, 0, 0, 0], tf.int32)
        )

    task = dataclasses.replace(
        CLASSIFICATION, validation_batches=lambda source, recipe, share: batches
    )
    run = SimpleNamespace(task=task, source=None, recipe=resolve("demo"))
    rows_of = TensorFlowBackend(one_device).make_evaluation(run, model, task.measure)
    predictions = metrics.gathered(rows_of(lambda: None), classes=3)
    at_hand = metrics.predictions_from_probabilities(LABELS, PROBABILITIES)
    np.testing.assert_array_equal(predictions.labels, LABELS)
    np.testing.assert_array_equal(predictions.top[:, 0], [0, 2, 1, 1])
    np.testing.assert_allclose(predictions.losses, at_hand.losses, rtol=1e-6)
    np.testing.assert_allclose(predictions.confidence, [0.7, 0.6, 0.5, 0.5], rtol=1e-6)


def test_the_counts_of_each_class_are_those_of_the_matrix():
    rng = np.random.default_rng(0)
    labels, answers = rng.integers(0, 7, (2, 200))
    predictions = metrics.Predictions(
        labels, answers[:, None], np.ones(200), np.zeros(200), classes=9
    )
    matrix = np.zeros((9, 9), int)
    for label, answer in zip(labels, answers, strict=True):
        matrix[label, answer] += 1
    counts = predictions.by_class()
    np.testing.assert_array_equal(counts.images, matrix.sum(axis=1))
    np.testing.assert_array_equal(counts.correct, np.diag(matrix))
    np.testing.assert_array_equal(counts.predicted, matrix.sum(axis=0))
    for label in range(9):
        np.testing.assert_array_equal(predictions.confusion_row(label), matrix[label])
    pairs = predictions.confusion_pairs()
    assert len(pairs) == np.count_nonzero(matrix)
    assert all(matrix[label, answer] == count for label, answer, count in pairs)


def test_a_million_classes_need_no_matrix():
    """A matrix of them would be eight terabytes."""
    labels = np.array([0, 999_999, 5])
    predictions = metrics.Predictions(
        labels, labels[::-1, None], np.ones(3), np.zeros(3), classes=1_000_000
    )
    # The first and the last are taken for each other, the middle one is right.
    assert predictions.mean_class_accuracy() == pytest.approx(1 / 3)
    np.testing.assert_array_equal(
        predictions.confusion_pairs(), [[0, 5, 1], [5, 0, 1], [999_999, 999_999, 1]]
    )


def test_batches_joined_are_one_set():
    parts = [metrics.predictions_from_probabilities(LABELS[:1], PROBABILITIES[:1])]
    parts.append(metrics.predictions_from_probabilities(LABELS[1:], PROBABILITIES[1:]))
    joined, whole = (
        metrics.join(parts),
        metrics.predictions_from_probabilities(LABELS, PROBABILITIES),
    )
    for name in ("labels", "top", "confidence", "losses"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))
    assert joined.classes == 3
