"""COCO's masks: what is refused, and the same pixels as pycocotools'."""

import hotcoco
import numpy as np
import pytest
from pycocotools import mask as pycocotools_mask

from keras_convnext._data import coco_masks
from keras_convnext._data.coco_masks import BadSegmentation

SHAPE = (20, 30)


def masks(count: int = 20) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    found = [generator.random(SHAPE) < share for share in np.linspace(0, 1, count)]
    return [mask.astype(np.uint8) for mask in found]


def drawn(value, shape=SHAPE):
    segmentation = coco_masks.parse(value, *shape)
    out = np.zeros(shape, np.uint8)
    coco_masks.draw(segmentation, shape, np.arange(shape[0]), np.arange(shape[1]), out)
    return out


def runs_of(mask: np.ndarray) -> list[int]:
    """Lengths of equal pixels down the columns, of zeros first."""
    pixels = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(pixels)) + 1
    runs = np.diff([0, *changes, pixels.size]).tolist()
    return [0, *runs] if pixels[0] else runs


def test_masks_go_through_both_kinds_of_run_lengths():
    for mask in masks():
        plain = {"size": list(SHAPE), "counts": runs_of(mask)}
        np.testing.assert_array_equal(drawn(plain), mask)
        compressed = pycocotools_mask.encode(np.asfortranarray(mask))
        text = compressed["counts"].decode()
        np.testing.assert_array_equal(
            drawn({"size": list(SHAPE), "counts": text}), mask
        )
        segmentation = coco_masks.parse(plain, *SHAPE)
        assert coco_masks.to_run_lengths(segmentation, *SHAPE)["counts"] == text


def test_runs_of_large_images_are_decompressed():
    mask = np.zeros((3000, 2000), np.uint8)
    mask[7:2900, 3:1500:2] = 1
    compressed = pycocotools_mask.encode(np.asfortranarray(mask))
    value = {"size": [3000, 2000], "counts": compressed["counts"].decode()}
    np.testing.assert_array_equal(drawn(value, mask.shape), mask)


def test_polygons_have_the_pixels_of_pycocotools():
    generator = np.random.default_rng(0)
    for _ in range(50):
        height, width = generator.integers(1, 90, 2).tolist()
        polygons = [
            # Corners outside, and halves, which are rounded to either side.
            (generator.integers(-20, 200, 2 * corners) / 2).tolist()
            for corners in generator.integers(3, 20, generator.integers(1, 4))
        ]
        parts = pycocotools_mask.frPyObjects(polygons, height, width)
        expected = pycocotools_mask.decode(pycocotools_mask.merge(parts))
        found = drawn(polygons, (height, width))
        np.testing.assert_array_equal(found, expected)


def test_several_polygons_are_one_mask():
    expected = np.zeros(SHAPE, np.uint8)
    expected[2:6, 3:9] = expected[10:15, 20:28] = 1
    polygons = [[3, 2, 9, 2, 9, 6, 3, 6], [20, 10, 28, 10, 28, 15, 20, 15]]
    np.testing.assert_array_equal(drawn(polygons), expected)


def test_chosen_rows_and_columns_are_those_of_the_whole():
    mask = masks()[7]
    segmentation = coco_masks.parse(
        {"size": list(SHAPE), "counts": runs_of(mask)}, *SHAPE
    )
    rows = np.array([3, 3, 4, 9, 19, 0])
    columns = np.arange(29, 5, -1)
    out = np.zeros((6, 24), np.uint8)
    coco_masks.draw(segmentation, SHAPE, rows, columns, out)
    np.testing.assert_array_equal(out, mask[np.ix_(rows, columns)])


@pytest.mark.parametrize("nothing", [None, []])
def test_an_object_may_have_no_mask(nothing):
    assert coco_masks.parse(nothing, *SHAPE) is None


def counts(value) -> dict:
    return {"size": list(SHAPE), "counts": value}


BAD = {
    "neither polygons nor run lengths": ["text", 5, True],
    "no list of numbers": [
        [5],
        [["a"] * 6],
        [[1, 2, [3]]],
        [[None] * 6],
        [[10**400] * 6],
    ],
    "not three or more pairs": [[[]], [[1, 2, 3, 4]], [[1, 2, 3, 4, 5, 6, 7]]],
    "NaN or infinity": [[[float("nan")] * 6], [[1, 2, 3, 4, 5, float("inf")]]],
    "longer than 1,000,000 pixels": [
        [[0, 0, 1e12, 0, 0, 5]],
        [[0, 0, 30, 20] * 60_000],
    ],
    "of another size": [{"size": [30, 20], "counts": [600]}, {"counts": [600]}],
    "no list of whole numbers": [
        counts([1.5]),
        counts([[600]]),
        counts([]),
        counts(None),
    ],
    "negative, or longer than the image": [
        counts([-1, 601]),
        counts([10**12]),
        counts([2**32 + 600]),
        counts("ooooooooooo0"),
        counts("O"),
    ],
    "do not add up": [counts([599]), counts([600, 600]), counts("00")],
    "more run lengths than": [counts("1" * 5000)],
    "hold other characters": [counts("é"), counts("~~"), counts("0 0")],
    "end in the middle": [counts("P"), counts("")],
}


@pytest.mark.parametrize(
    ("text", "value"),
    [(text, value) for text, values in BAD.items() for value in values],
)
def test_what_c_code_would_trust_is_refused_before(text, value, monkeypatch):
    for name in ("frPyObjects", "merge", "decode"):
        monkeypatch.setattr(hotcoco.mask, name, None)
    with pytest.raises(BadSegmentation, match=text):
        coco_masks.parse(value, *SHAPE)
