"""Files of integers alone: no float32 in them, and each substitute is the function."""

from math import erf

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from export.convert import tflite
from export.convert.precisions import PRECISIONS
from export.export_error import ExportError
from tests.export.conftest import smooth_images

INTEGERS = {"INT8", "INT16", "INT32", "INT64"}


class Formula(tf.Module):
    """A function of images, as the converter takes networks."""

    def __init__(self, function):
        super().__init__()
        self.answers = lambda tensors: {"answers": function(tensors)}

    def spec(self, batch, any_size):
        return tf.TensorSpec((batch, 8, 8, 3), tf.float32, name="tensors")


@pytest.fixture(scope="module")
def pixels():
    return smooth_images(120, 8)


def convert(function, pixels):
    return tflite.convert(Formula(function), PRECISIONS["integer"], pixels, exact=b"")


def types_of(contents):
    """The type of every tensor of a TFLite file, by its name."""
    names = {value: name for name, value in vars(schema.TensorType).items()}
    graph = schema.Model.GetRootAs(contents).Subgraphs(0)
    tensors = [graph.Tensors(number) for number in range(graph.TensorsLength())]
    return {tensor.Name().decode(): names[tensor.Type()] for tensor in tensors}


def ask(contents, pixels):
    """What a file of integers answers, in the numbers that its steps stand for."""
    interpreter = Interpreter(model_content=contents)
    interpreter.allocate_tensors()
    (given,), (made,) = (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    )
    assert given["dtype"] is np.int8
    assert given["quantization"] == (1.0, -128)
    assert made["dtype"] is np.int16
    found = []
    for image in pixels:
        interpreter.set_tensor(given["index"], np.int8(image[None] - 128))
        interpreter.invoke()
        steps = interpreter.get_tensor(made["index"]).astype(np.float64)
        found.append(steps * made["quantization"][0])
    return np.concatenate(found)


def gelu(x):
    return x * (1 + np.vectorize(erf)(x / np.sqrt(2))) / 2


@pytest.mark.parametrize("approximate", [False, True])
def test_gelu_is_gelu(approximate, pixels):
    contents = convert(
        lambda x: tf.nn.gelu((x - 128) / 16, approximate=approximate), pixels
    )
    builtin, other = tflite.operators(contents)
    assert "GELU" not in builtin
    assert other == []
    found = ask(contents, pixels[:5])
    # Half a step of 8 / 32767 of the argument and of the answer, and the form itself.
    np.testing.assert_allclose(found, gelu((pixels[:5] - 128) / 16), atol=1e-3)


# Each has a step of its range; roots and quotients go by a reciprocal root, which
# LiteRT has to a twentieth for the smallest and to 12 bits for the largest.
@pytest.mark.parametrize(
    ("function", "formula", "limit"),
    [
        (lambda x: tf.square(x / 255), lambda x: (x / 255) ** 2, 2e-4),
        (lambda x: tf.sqrt(x / 255), lambda x: np.sqrt(x / 255), 1e-2),
        (
            lambda x: x / (tf.reduce_mean(x, [1, 2, 3], keepdims=True) + 1),
            lambda x: x / (x.mean((1, 2, 3), keepdims=True) + 1),
            3e-3,
        ),
        (
            lambda x: tf.reduce_sum(tf.square(x / 255), [1, 2], keepdims=True) + 1,
            lambda x: np.sum((x / 255) ** 2, (1, 2), keepdims=True) + 1,
            1e-2,
        ),
    ],
    ids=["square", "root", "quotient", "sum"],
)
def test_what_has_no_kernel_of_16_bits_is_made_of_what_has(
    function, formula, limit, pixels
):
    contents = convert(lambda x: 2 * function(x), pixels)
    assert set(types_of(contents).values()) <= INTEGERS
    expected = 2 * formula(pixels[:10].astype(np.float64))
    np.testing.assert_allclose(ask(contents, pixels[:10]), expected, atol=limit)


def deviations_of(x, sizes, numbers):
    """Each pixel's values less their mean, in two halves of two sizes."""
    x = (x - 128) / 128 * np.where(np.arange(8)[:, None] < 4, *sizes)
    return x - mean(x, numbers)


def mean(x, numbers):
    if numbers is np:
        return x.mean(-1, keepdims=True)
    return tf.reduce_mean(x, -1, keepdims=True)


# With one step for all variances, one of a ten-thousandth would be of two steps, and
# its reciprocal root off by two. In the second case epsilon is larger than all of them.
@pytest.mark.parametrize("factor", [1.0, 1.5])
@pytest.mark.parametrize("sizes", [(0.05, 1.0), (1e-3, 1e-3)])
def test_a_norm_is_exact_where_values_are_small(factor, sizes, pixels):
    def norm(x):
        d = deviations_of(x, sizes, tf)
        return d * tf.math.rsqrt(factor * mean(d * d, tf) + 1e-6)

    d = deviations_of(pixels.astype(np.float64), sizes, np)
    variance = mean(d * d, np)
    expected = d / np.sqrt(factor * variance + 1e-6)
    wrong = np.abs(ask(convert(norm, pixels), pixels) - expected)
    seen = np.broadcast_to(variance > 1e-4 * variance.max(), wrong.shape)
    assert seen.mean() > 0.9
    assert wrong[seen].max() < 0.01
    assert wrong.mean() < 0.01


def test_a_norm_may_scale_its_reciprocal_root_first(pixels):
    gamma = np.float32([0.5, 1, 2])

    def norm(x):
        d = deviations_of(x, (1.0, 1.0), tf)
        return d * (tf.math.rsqrt(mean(d * d, tf) + 1e-6) * gamma)

    d = deviations_of(pixels.astype(np.float64), (1.0, 1.0), np)
    expected = d / np.sqrt(mean(d * d, np) + 1e-6) * gamma
    # The scaled root has one step for all pixels, gray ones included, whose is large.
    assert np.abs(ask(convert(norm, pixels), pixels) - expected).mean() < 0.03


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda x: 2 * tf.cos(x / 255), "COS"),
        (lambda x: sum(tf.split(x / 255, 2, axis=1)), "SPLIT"),
        # It is known, but nothing says in which range its answers are.
        (lambda x: tf.sqrt(x / 255), "SQRT"),
    ],
)
def test_an_operator_without_a_form_of_integers_is_named(function, named, pixels):
    with pytest.raises(ExportError, match=rf"integer: {named} .*int16x8 leaves such"):
        convert(function, pixels)
