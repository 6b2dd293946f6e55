"""Anchors, box coding and pasted masks by closed forms."""

import numpy as np
import pytest

from keras_convnext.detection import anchors, decode_boxes, encode_boxes, paste_masks


def test_anchors_lie_on_the_grid_without_half_a_cell_and_are_not_rounded():
    boxes = np.asarray(anchors(2, 3, 4)).reshape(2, 3, 3, 4)
    center = (boxes[..., :2] + boxes[..., 2:]) / 2
    sides = boxes[..., 2:] - boxes[..., :2]
    rows, columns = np.meshgrid([0, 4], [0, 4, 8], indexing="ij")
    np.testing.assert_allclose(center[..., 0], rows[..., None].repeat(3, -1), atol=1e-6)
    np.testing.assert_allclose(
        center[..., 1], columns[..., None].repeat(3, -1), atol=1e-6
    )
    np.testing.assert_allclose(sides.prod(-1), 32**2, rtol=1e-6)
    np.testing.assert_allclose(
        sides[..., 0] / sides[..., 1], np.tile([0.5, 1, 2], (2, 3, 1)), rtol=1e-6
    )
    # 32 / sqrt(2) / 2, and not 11.
    assert boxes[0, 0, 0, 0] == pytest.approx(-11.313708)


def random_boxes(count, seed=0):
    random = np.random.default_rng(seed)
    start = random.uniform(0, 50, (count, 2))
    return np.concatenate([start, start + random.uniform(1, 50, (count, 2))], 1)


def test_decoding_undoes_encoding():
    boxes, references = random_boxes(50), random_boxes(50, 1)
    stds = (0.1, 0.1, 0.2, 0.2)
    deltas = encode_boxes(boxes, references, stds)
    # Float32.
    np.testing.assert_allclose(
        decode_boxes(deltas, references, stds), boxes, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("dtype", ["int32", "float32", "float64"])
def test_boxes_and_references_may_be_of_different_dtypes(dtype):
    references = np.array([[0, 0, 4, 4]], dtype)
    boxes = decode_boxes(np.array([[0.5, 0, 0, 0]]), references)
    np.testing.assert_array_equal(boxes, [[0, 2, 4, 6]])
    deltas = encode_boxes(np.array([[0, 2, 4, 6]]), references)
    np.testing.assert_array_equal(deltas, [[0.5, 0, 0, 0]])


def test_a_side_grows_by_62_and_a_half_at_most_and_ends_in_the_image():
    reference = np.array([[10.0, 10.0, 14.0, 12.0]])
    grown = np.asarray(decode_boxes(np.array([[0, 0, 9.0, -9.0]]), reference))
    sides = grown[0, 2:] - grown[0, :2]
    np.testing.assert_allclose(sides, [4 / 62.5, 2 * 62.5], rtol=1e-5)
    clipped = decode_boxes(np.array([[0, 0, 9.0, 9.0]]), reference, size=(20, 30))
    np.testing.assert_array_equal(clipped, [[0, 0, 20, 30]])


def test_a_pasted_pixel_is_the_bilinear_one_of_its_place_in_the_box():
    random = np.random.default_rng(0)
    masks = random.uniform(size=(6, 5, 7))
    boxes = random_boxes(6) - 20
    boxes[0] = 3, 4, 3, 9
    pasted = paste_masks(masks, boxes, 40, 50)
    for mask, (y0, x0, y1, x1), found in zip(masks, boxes, pasted, strict=True):
        # Points outside are zero, and fade in over half a cell.
        framed = np.pad(mask, 1)
        for y, x in np.ndindex(40, 50):
            if y1 <= y0:
                assert not found[y, x]
                continue
            v = (y + 0.5 - y0) / (y1 - y0) * 5 + 0.5
            u = (x + 0.5 - x0) / (x1 - x0) * 7 + 0.5
            value = 0.0
            if 0 <= v < 6 and 0 <= u < 8:
                i, j = int(v), int(u)
                cell = framed[i : i + 2, j : j + 2]
                value = [1 - v + i, v - i] @ cell @ [1 - u + j, u - j]
            # Float32 may decide otherwise at the threshold itself.
            assert found[y, x] == (value >= 0.5) or abs(value - 0.5) < 1e-4
    with pytest.raises(ValueError, match="6 masks and 5 boxes"):
        paste_masks(masks, boxes[:5], 40, 50)
