"""Preprocessing records and the helpers that keras.applications' users know."""

import numpy as np
import pytest

from keras_convnext import decode_predictions, preprocess_input
from keras_convnext.preprocessing import IMAGENET, Preprocessing


def test_inputs_pass_through_because_the_models_normalize_inside():
    x = np.arange(12.0).reshape(1, 2, 2, 3)
    np.testing.assert_array_equal(preprocess_input(x), x)


def test_imagenet_predictions_are_named_highest_first():
    scores = np.zeros((2, 1000), "float32")
    # ImageNet's numbering: 281 tabby cat, 386 African elephant, 0 tench.
    scores[0, [281, 386]] = [0.7, 0.2]
    scores[1, 0] = 1.0
    first, second = decode_predictions(scores, top=2)
    assert [(wordnet, score) for wordnet, _, score in first] == [
        ("n02123045", pytest.approx(0.7)),
        ("n02504458", pytest.approx(0.2)),
    ]
    assert "tabby" in first[0][1].lower()
    assert second[0][0] == "n01440764"
    assert len(second) == 2


@pytest.mark.parametrize("shape", [(1000,), (1, 2, 1000), (1, 999)])
def test_scores_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="classes"):
        decode_predictions(np.zeros(shape, "float32"))


def test_normalization_is_on_the_scale_of_bytes():
    mean, variance = IMAGENET.normalization(3)
    np.testing.assert_allclose(mean, [123.675, 116.28, 103.53])
    np.testing.assert_allclose(np.sqrt(variance), [58.395, 57.12, 57.375])


def test_normalization_repeats_for_other_numbers_of_channels():
    record = Preprocessing(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    mean, _ = record.normalization(4)
    np.testing.assert_allclose(mean, [25.5, 51.0, 76.5, 25.5])
    mean, variance = record.normalization(1)
    np.testing.assert_allclose(mean, [51.0])
    np.testing.assert_allclose(np.sqrt(variance), [153.0])


def test_all_wrong_fields_of_a_record_are_named_at_once():
    with pytest.raises(ValueError, match="Not a preprocessing") as caught:
        Preprocessing(size_px=0, crop_fraction=1.5, crop_mode="fill", std=(0.0,) * 3)
    for field in ("size_px", "crop_fraction", "crop_mode", "std"):
        assert field in str(caught.value)
