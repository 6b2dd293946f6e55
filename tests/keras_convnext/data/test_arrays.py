"""Arrays as other tools leave them: each is refused with the way to what is wanted."""

import numpy as np
import pytest

from keras_convnext._data import arrays

GOOD = np.zeros((4, 6, 5, 3), np.uint8)
LABELS = np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("images", "labels", "wanted"),
    [
        (GOOD / 2 + 0.5, LABELS, "float64 from 0.5 to 0.5 .np.rint.images [*] 255"),
        (GOOD.astype(np.int16) + 200, LABELS, "int16 from 200 to 200 .np.rint.images"),
        (GOOD.astype(np.float32) - 1, LABELS, "float32 from -1 to -1, not uint8"),
        (GOOD.astype(np.uint16) + 4095, LABELS, "uint16 from 4095 to 4095, not uint8"),
        (GOOD * np.nan, LABELS, "with values that are no numbers"),
        (GOOD + 1j, LABELS, "type complex128, not uint8"),
        (GOOD.transpose(0, 3, 1, 2), LABELS, "transpose.0, 2, 3, 1. puts the channels"),
        (GOOD[0, 0], LABELS, "images of shape .5, 3., not"),
        (GOOD, LABELS[:, None], "labels.:, 0. are"),
        (GOOD, np.eye(2)[LABELS], "argmax"),
        (GOOD, np.array(["a", "b", "a", "b"]), "return_inverse=True"),
        (GOOD, LABELS[:3], "a whole number for each of the 4 images"),
    ],
)
def test_an_array_of_another_form_is_refused_with_the_way_out(images, labels, wanted):
    with pytest.raises(arrays.DataError, match=wanted) as caught:
        arrays.checked(images, labels, 2, "training")
    assert "\n" not in str(caught.value)


def test_the_ways_that_are_told_lead_to_what_is_wanted():
    unit = np.linspace(0, 1, GOOD.size).reshape(GOOD.shape)
    images, labels = arrays.checked(
        np.rint(unit * 255).astype(np.uint8),
        np.eye(2)[LABELS].argmax(axis=1),
        2,
        "test",
    )
    assert (images.min(), images.max()) == (0, 255)
    assert labels.tolist() == LABELS.tolist()
