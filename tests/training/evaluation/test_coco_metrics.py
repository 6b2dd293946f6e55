"""COCO's figures against pycocotools', and what is wrong with detections."""

from types import SimpleNamespace

import numpy as np
import pytest
from pycocotools import mask as run_lengths

from keras_convnext.detection.coco_results import encode_part
from keras_convnext.detection.paste import mask_parts, paste_masks
from tests.training.evaluation import pycocotools_figures
from tests.training.evaluation.generated_detections import BORDERS, generate
from training.evaluation.coco_metrics import FIGURES, measure, sum_up


@pytest.mark.parametrize(
    ("images", "classes"), [(150, 6), pytest.param(2000, 20, marks=pytest.mark.slow)]
)
def test_figures_are_pycocotools(images, classes):
    truth, results = generate(images, classes, seed=images)
    areas = {each["area"] for each in truth["annotations"]}
    assert areas >= {side**2 for side in BORDERS}
    assert len({each["score"] for each in results}) == 11
    assert any(each["iscrowd"] for each in truth["annotations"])
    found = measure(truth, results, with_masks=True)
    for kind, figures in (("bbox", found.boxes), ("segm", found.masks)):
        expected = pycocotools_figures.evaluate(truth, results, kind)
        assert 0.1 < expected.stats[0] < 0.9
        ours = [figures.figures[name] for name in FIGURES]
        # The same sums in the same order: to the last digit.
        np.testing.assert_array_equal(ours, expected.stats)
        precision = expected.eval["precision"][:, :, :, 0, 2]
        np.testing.assert_array_equal(figures.by_recall, precision)
        by_class = precision[:, :, :-1].mean(axis=(0, 1))
        # Means of the same float64 numbers, summed in another order.
        np.testing.assert_allclose(figures.ap_by_class()[:-1], by_class, rtol=1e-12)
        assert np.isnan(figures.ap_by_class()[-1])
        at_half = figures.ap_by_class(0.5)[:-1]
        np.testing.assert_allclose(at_half.mean(), expected.stats[1], rtol=1e-12)
    assert found.figures["mask_ap_small"] == found.masks.figures["ap_small"]
    real = [each for each in truth["annotations"] if not each["iscrowd"]]
    assert found.objects.sum() == len(real)


def test_run_lengths_are_pycocotools():
    random = np.random.default_rng(0)
    for _ in range(100):
        height, width = (int(side) for side in random.integers(4, 60, 2))
        start = random.uniform(-20, 60, (4, 2))
        boxes = np.concatenate([start, start + random.uniform(0, 60, (4, 2))], axis=1)
        # One of all rows, whose runs go on from column to column.
        boxes[0, [0, 2]] = -9, height + 9
        masks = random.uniform(0.2, 1, (4, 28, 28))
        masks[0] = 1
        whole = paste_masks(masks, boxes, height, width)
        for mask, part in zip(
            whole, mask_parts(masks, boxes, height, width), strict=True
        ):
            expected = run_lengths.encode(np.asfortranarray(mask.astype(np.uint8)))
            found = encode_part(*part, height, width)
            assert found["counts"] == expected["counts"].decode()
            assert found["size"] == expected["size"]


def square(x, y, side):
    return [x, y, side, side]


def instances(boxes_by_image, classes=2):
    """COCO's instances of images of 100 x 80 pixels: class, x, y, side of each."""
    objects = [
        (number, *one) for number, boxes in enumerate(boxes_by_image) for one in boxes
    ]
    return {
        "images": [
            {"id": number, "height": 80, "width": 100}
            for number in range(len(boxes_by_image))
        ],
        "categories": [{"id": n, "name": f"class {n}"} for n in range(classes)],
        "annotations": [
            {
                "id": place,
                "image_id": number,
                "category_id": label,
                "bbox": square(x, y, side),
                "area": side * side,
                "iscrowd": 0,
                "segmentation": [[x, y, x + side, y, x + side, y + side, x, y + side]],
            }
            for place, (number, label, x, y, side) in enumerate(objects, 1)
        ],
    }


TRUTH = instances([[(0, 10, 10, 20), (1, 60, 40, 20)], [(0, 10, 10, 20)], []])


def detect(number, label, box, score):
    return {"image_id": number, "category_id": label, "bbox": box, "score": score}


def test_each_kind_of_error_is_counted():
    results = [
        detect(0, 0, square(10, 10, 20), 0.9),
        detect(0, 0, square(11, 10, 20), 0.8),  # Again.
        detect(0, 0, square(60, 40, 20), 0.7),  # Of class 1.
        detect(0, 1, square(80, 0, 10), 0.6),  # Nothing is there.
        detect(1, 0, square(18, 10, 20), 0.5),  # IoU 12 / 28.
    ]
    found = measure(TRUTH, results, with_masks=False)
    assert found.masks is None
    counts = found.boxes.error_counts
    assert counts == {
        # Objects that a wrong class or place was said of are not missed.
        "missed": 0,
        "background": 1,
        "confusion": 1,
        "localization": 1,
        "confusion and localization": 0,
        "duplicate": 1,
    }
    assert measure(TRUTH, [], with_masks=False).boxes.error_counts["missed"] == 3
    # Class 0 has found one of two objects, at all thresholds, and class 1 none.
    np.testing.assert_allclose(found.boxes.ap_by_class(), [51 / 101, 0])
    assert found.objects.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("box", "error"),
    [(None, "missed"), (square(18, 10, 20), "localization")],
)
def test_an_error_costs_what_ap_50_would_gain_without_it(box, error):
    # Of two objects one is found: AP50 is 51 / 101, and 1 without the error.
    truth = instances([[(0, 10, 10, 20)], [(0, 10, 10, 20)]], classes=1)
    results = [detect(1, 0, square(10, 10, 20), 0.9)]
    if box is not None:
        results.append(detect(0, 0, box, 0.8))
    costs = measure(truth, results, with_masks=False).boxes.error_costs
    assert {name for name, cost in costs.items() if cost} == {error}
    # Float64, whose last digits depend on the order of sums.
    assert costs[error] == pytest.approx(1 - 51 / 101, rel=1e-12)


def test_images_are_named_by_their_ap():
    results = [
        detect(1, 0, square(10, 10, 20), 0.9),
        detect(0, 0, square(10, 10, 20), 0.9),
        detect(0, 1, square(0, 0, 9), 0.3),
    ]
    found = measure(TRUTH, results, with_masks=False)
    # In image 0 one of two objects is found: recalls of 0 to 0.5. Image 2 has nothing.
    np.testing.assert_allclose(found.boxes.image_ap, [51 / 101, 1, np.nan])
    assert found.images_by_ap().tolist() == [0, 1]
    scores = [each["score"] for each in found.of_image(0)]
    assert scores == [0.9, 0.3]


def rows_of(boxes, **changes):
    count = len(boxes)
    rows = {
        "number": np.array([0]),
        "boxes": np.array([[*boxes, [0] * 4]], np.float32),
        "scores": np.array([[0.9] * count + [0]], np.float32),
        "classes": np.array([[0, 1][:count] + [-1]], np.int32),
        "count": np.array([count], np.int32),
        "masks": np.ones((1, count + 1, 28, 28), np.float32),
    }
    return {**rows, **changes}


def source_of(truth, has_masks=True):
    return SimpleNamespace(annotations=truth, has_masks=has_masks)


def test_rows_of_a_detector_that_is_right_have_ap_1():
    truth = instances([[(0, 10, 10, 20), (1, 60, 40, 20)]])
    rows = rows_of([[10, 10, 30, 30], [40, 60, 60, 80]])
    results = sum_up([rows], source_of(truth))
    names = ("ap", "ap75", "ap_small", "mask_ap", "mask_ap50", "mask_ar1")
    # COCO adds the last digit of float64 to what it divides by.
    assert {name: results.figures[name] for name in names} == dict.fromkeys(
        names, pytest.approx(1, rel=1e-12)
    )
    # There are none of these sizes.
    assert results.figures["ap_large"] == results.figures["mask_ap_medium"] == -1
    [first, second] = results.of_image(0)
    assert (first["bbox"], second["bbox"]) == ([10, 10, 20, 20], [60, 40, 20, 20])
    assert run_lengths.area(second["segmentation"]) == 400
    alone = sum_up([rows], source_of(truth, has_masks=False))
    assert alone.masks is None
    assert "segmentation" not in alone.detections[0]


def test_a_box_that_is_no_number_finds_nothing():
    truth = instances([[(0, 10, 10, 20)]], classes=1)
    nothing = np.full((1, 4), np.nan)
    # pycocotools takes it for a perfect box.
    box = detect(0, 0, nothing[0].tolist(), 0.9)
    believed = pycocotools_figures.evaluate(truth, [box], "bbox")
    assert believed.stats[0] == pytest.approx(1)
    results = sum_up([rows_of(nothing)], source_of(truth))
    assert results.figures["ap"] == 0
    assert results.detections == []
