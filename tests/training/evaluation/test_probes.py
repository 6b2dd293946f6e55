"""Votes of neighbors and near copies, against scikit-learn and by construction."""

import io

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from training.evaluation import near_copies, probes

CLASSES = 7


@pytest.fixture(scope="module")
def features():
    """Overlapping clouds, so that neighbors are often wrong: 1,500 and 1,200 rows."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(CLASSES, 12))

    def draw(count):
        labels = rng.integers(0, CLASSES, count)
        noise = rng.normal(scale=1.3, size=(count, 12))
        return (centers[labels] + noise).astype(np.float32), labels

    return *draw(1500), *draw(1200)


@pytest.mark.parametrize("neighbors", [1, 10, 200, 5000])
def test_votes_are_scikit_learns(features, neighbors):
    train, labels, queries, _ = features
    found = probes.predict_by_neighbors(train, labels, queries, neighbors, CLASSES)
    theirs = KNeighborsClassifier(
        min(neighbors, len(train)),
        metric="cosine",
        weights=lambda distances: np.exp((1 - distances) / 0.07),
        algorithm="brute",
    ).fit(train, labels)
    np.testing.assert_array_equal(found, theirs.predict(queries))


def test_the_linear_classifier_sees_directions_alone(features):
    train, labels, queries, _ = features
    found = probes.predict_linearly(train * 50, labels, queries / 50)
    unit = train / np.linalg.norm(train, axis=1, keepdims=True)
    theirs = LogisticRegression(max_iter=5000, tol=1e-8).fit(unit * 12**0.5, labels)
    queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    same = found == theirs.predict(queries * 12**0.5)
    # A query on the border may fall to either side: each ends at its own tolerance.
    assert same.mean() > 0.995


def test_accuracies_are_scikit_learns(features):
    *_, labels = features
    predicted = np.where(np.arange(len(labels)) % 3, labels, 0)
    found = probes.accuracies(predicted, labels)
    expected = (
        accuracy_score(labels, predicted),
        balanced_accuracy_score(labels, predicted),
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def _photo(rng, side=96):
    """An image with structure of every size, as photographs have."""
    whole = np.zeros((side, side, 3))
    for cells in (2, 4, 8, 16, 32):
        part = Image.fromarray(rng.integers(0, 256, (cells, cells, 3)).astype(np.uint8))
        whole += np.asarray(part.resize((side, side)), float) / cells**0.5
    return (255 * (whole - whole.min()) / np.ptp(whole)).astype(np.uint8)


def _copy(image, way):
    if way == "smaller and back":
        small = Image.fromarray(image).resize((48, 48))
        return np.asarray(small.resize(image.shape[:2]))
    if way == "JPEG":
        file = io.BytesIO()
        Image.fromarray(image).save(file, format="JPEG", quality=40)
        return np.asarray(Image.open(file))
    if way == "darker":
        return (image * 0.6).astype(np.uint8)
    return image[:, ::-1]


def test_copies_are_found_and_others_are_not():
    rng = np.random.default_rng(0)
    train = np.stack([_photo(rng) for _ in range(30)])
    ways = ("smaller and back", "JPEG", "darker", "mirrored")
    copies = [_copy(train[3 + place], way) for place, way in enumerate(ways)]
    own = [_photo(rng) for _ in range(20)]
    validation = np.stack([*own[:10], *copies, *own[10:], np.full_like(own[0], 77)])
    flat = np.full_like(train[:1], 200)
    train = np.concatenate([train, flat])
    # Features that say nothing but which are candidates: the copies' are near.
    directions = rng.normal(size=(len(train), 64))
    theirs = rng.normal(size=(len(validation), 64))
    theirs[10:14] = directions[3:7] + 0.1 * theirs[10:14]
    theirs[-1] = directions[-1]
    found = near_copies.find(
        (directions, theirs),
        (near_copies.shrink(train), near_copies.shrink(validation)),
    )
    assert {pair[:2] for pair in found} == {(10, 3), (11, 4), (12, 5), (13, 6)}
    alike = [pair[2] for pair in found]
    assert alike == sorted(alike, reverse=True)
    lines = near_copies.tell(found[:1], ([f"t{n}" for n in range(31)], ()), 10)
    second, first, _ = found[0]
    assert lines[0].startswith(f"image {second} is nearly t{first} (")
