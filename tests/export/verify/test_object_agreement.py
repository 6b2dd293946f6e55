"""When an export's objects are Keras', and COCO's AP against pycocotools'."""

import contextlib
import io
from dataclasses import replace

import numpy as np
import pytest

from export.convert.precisions import PRECISIONS
from export.images.image_set import TrueObjects
from export.verify.average_precision import average_precision
from export.verify.object_agreement import match, share_kept
from keras_convnext.detection import Objects


def objects(*rows):
    """Objects of rows of class, score and box."""
    values = np.array(rows, float).reshape(-1, 6)
    return Objects(values[:, 2:], values[:, 1], values[:, 0].astype(int))


OTHERS = (1, 0.8, 0, 20, 10, 40), (0, 0.7, 9, 9, 9, 9)
EXPECTED = objects((0, 0.9, 0, 0, 10, 10), *OTHERS)


def kept(found, precision="float32", least_score=0.0):
    limits = PRECISIONS[precision]
    return share_kept(
        [match(EXPECTED, found, least_score)],
        limits.most_box_px,
        limits.most_score_difference,
    )


def test_objects_are_kept_within_a_pixel_and_a_thousandth_of_the_score():
    moved = objects(
        (1, 0.8009, 0.9, 20, 10, 40), (0, 0.9, 0, 0, 10, 10.5), (0, 0.7, 9, 9, 9, 9)
    )
    assert kept(moved) == 1
    pair = match(EXPECTED, moved)
    np.testing.assert_allclose(pair.box_px, [0.5, 0.9, 0])
    np.testing.assert_allclose(pair.scores, [0, 0.0009, 0])


@pytest.mark.parametrize(
    ("row", "precision"),
    [
        ((0, 0.9, 0, 0, 10, 11.1), "float32"),
        ((0, 0.898, 0, 0, 10, 10), "float32"),
        ((2, 0.9, 0, 0, 10, 10), "dynamic_int8"),
        ((0, 0.9, 0, 6, 10, 16), "dynamic_int8"),
        ((0, 0.79, 0, 0, 10, 10), "dynamic_int8"),
    ],
)
def test_others_are_not(row, precision):
    assert kept(objects(row, *OTHERS), precision) == pytest.approx(2 / 3)


def test_missing_ones_and_more_of_them_count_alike():
    assert kept(objects((0, 0.9, 0, 0, 10, 10))) == 2 * 1 / (3 + 1)
    twice = objects(*[(0, 0.9, 0, 0, 10, 10)] * 2)
    assert kept(twice) == 2 * 1 / (3 + 2)
    assert kept(objects()) == 0
    none = match(objects(), objects())
    assert share_kept([none], None, 0.1) == 1


def test_what_is_missing_just_above_the_least_score_does_not_count():
    best = objects((0, 0.9, 0, 0, 10, 10), (1, 0.8, 0, 20, 10, 40))
    assert kept(best, "float16", least_score=0.69) == 1
    assert kept(best, "float16", least_score=0.67) == 4 / 5
    assert kept(objects(), "float16", least_score=0.69) == 0


def random_case(seed):
    """Objects of 30 images in 3 classes, with crowds, ties and false ones."""
    random = np.random.default_rng(seed)

    def boxes(count):
        starts = random.integers(0, 60, (count, 2))
        return np.concatenate([starts, starts + random.integers(1, 40, (count, 2))], 1)

    truth, found = [], []
    for _ in range(30):
        count = random.integers(0, 6)
        one = TrueObjects(
            boxes(count).astype(float),
            random.integers(0, 3, count),
            random.random(count) < 0.2,
        )
        truth.append(one)
        near = one.boxes + random.integers(-4, 5, (count, 4)) * (count > 1)
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        false = random.integers(0, 4)
        scores = np.round(random.random(2 * count + false), 1)
        order = np.argsort(-scores, kind="stable")
        found.append(
            Objects(
                np.concatenate([near, one.boxes, boxes(false)])[order],
                scores[order],
                np.concatenate(
                    [one.classes, one.classes, random.integers(0, 4, false)]
                )[order],
            )
        )
    return truth, found


def by_pycocotools(truth, found):
    coco, cocoeval = (
        pytest.importorskip(f"pycocotools.{name}") for name in ("coco", "cocoeval")
    )

    def rows(sets, more):
        return [
            {
                "image_id": number,
                "category_id": int(label),
                "bbox": [box[1], box[0], box[3] - box[1], box[2] - box[0]],
                "area": (box[2] - box[0]) * (box[3] - box[1]),
                **more(one, index),
            }
            for number, one in enumerate(sets)
            for index, (label, box) in enumerate(
                zip(one.classes, one.boxes.tolist(), strict=True)
            )
        ]

    known = coco.COCO()
    annotations = rows(truth, lambda one, i: {"iscrowd": int(one.is_crowd[i])})
    known.dataset = {
        "images": [{"id": number} for number in range(len(truth))],
        "categories": [{"id": number} for number in range(4)],
        # pycocotools takes the id 0 for none.
        "annotations": [{**row, "id": id} for id, row in enumerate(annotations, 1)],
    }
    results = rows(found, lambda one, i: {"score": float(one.scores[i])})
    with contextlib.redirect_stdout(io.StringIO()):
        known.createIndex()
        evaluation = cocoeval.COCOeval(known, known.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[0]


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_is_that_of_pycocotools(seed):
    truth, found = random_case(seed)
    expected = by_pycocotools(truth, found)
    assert 0.1 < expected < 0.9
    # The same counts, whose ratios may be summed up in another order.
    assert average_precision(truth, found) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["boxes", "scores"])
def test_an_object_that_is_no_number_counts_for_nothing(name):
    truth, found = random_case(0)
    values = getattr(found[0], name).astype(float)
    values[0] = np.nan
    left = {
        each: getattr(found[0], each)[1:] for each in ("boxes", "scores", "classes")
    }
    broken = [replace(found[0], **{name: values}), *found[1:]]
    expected = by_pycocotools(truth, [Objects(**left), *found[1:]])
    assert average_precision(truth, broken) == pytest.approx(expected, abs=1e-12)


def test_without_objects_there_is_no_average_precision():
    none = TrueObjects(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, bool))
    assert average_precision([none], [EXPECTED]) == -1
