"""Large tensors reach their variables whole, whatever shape and layout they have.

Other tests load small models, whose tensors fit into one block of the copying.
"""

from collections.abc import Sequence

import keras
import ml_dtypes
import numpy as np
import pytest

from keras_convnext.weights import assign

# Shapes in the file and the axes that the model wants, from one number to more than
# two blocks in each direction; none is a multiple of a block.
LAYOUTS = [
    ((1030, 300), (1, 0)),
    ((1, 700), (1, 0)),
    ((700, 1), (1, 0)),
    ((520, 140, 2, 2), (2, 3, 1, 0)),
    ((1100, 1, 7, 7), (2, 3, 0, 1)),
    ((600, 3, 16, 16), (2, 3, 1, 0)),
    ((7, 7, 1, 513), (0, 1, 3, 2)),
    ((5,), (0,)),
    ((700_000,), (0,)),
]


def numbers(shape: Sequence[int], dtype: type = np.float32) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
@pytest.mark.parametrize("wanted", ["float32", "float16", "bfloat16"])
def test_numbers_are_converted_as_numpy_converts_them(wanted: str, dtype: type) -> None:
    tensor = numbers((700, 300), dtype)
    variable = keras.Variable(np.zeros((300, 700)), dtype=wanted)
    assign.assign_all([variable], [tensor.T])
    found = np.asarray(keras.ops.convert_to_numpy(variable), np.float32)
    expected = tensor.astype(wanted).T
    np.testing.assert_array_equal(found, expected.astype(np.float32))


def test_tensors_of_every_layout_arrive_in_one_call() -> None:
    tensors = [numbers(shape).transpose(axes) for shape, axes in LAYOUTS]
    variables = [keras.Variable(np.zeros(tensor.shape)) for tensor in tensors]
    assign.assign_all(variables, tensors)
    for variable, tensor in zip(variables, tensors, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), tensor)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="its memory")
def test_what_was_read_of_a_variable_before_stays_as_it_was() -> None:
    variable = keras.Variable(numbers((600, 600)))
    before = variable.value.read_value()
    assign.assign_all([variable], [np.ones((600, 600), np.float32)])
    np.testing.assert_array_equal(before, numbers((600, 600)))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 524_287, 524_288, 1_199_999])
def test_one_number_that_is_none_is_found_wherever_it_is(
    at: int, value: float, dtype: type
) -> None:
    damaged = numbers((1_200_000,), dtype)
    damaged[at] = value
    sound = numbers((1_200_000,), dtype)
    for shape in ((1_200_000,), (1200, 1000)):
        tensors = [sound.reshape(shape), damaged.reshape(shape), sound[:3]]
        assert list(assign.are_finite(tensors)) == [True, False, True]


def test_numbers_whose_sum_or_square_is_infinite_are_sound() -> None:
    huge = np.full((1000, 1000), np.finfo(np.float32).max, np.float32)
    assert list(assign.are_finite([huge, huge.T, huge[:, ::2]])) == [True, True, True]


def test_an_empty_tensor_is_sound() -> None:
    assert list(assign.are_finite([np.empty((0, 3), np.float32)])) == [True]


def test_a_tensor_with_gaps_between_its_rows_is_looked_through() -> None:
    damaged = numbers((1000, 1000))
    damaged[999, 998] = np.nan
    assert list(assign.are_finite([damaged[:, ::2], damaged[:, 1::2]])) == [False, True]
