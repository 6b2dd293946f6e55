"""The update as a graph of TensorFlow: small, and right wherever it is traced."""

from collections import Counter

import keras
import numpy as np
import pytest

from keras_convnext.optimizers import LayerwiseAdamW, ParameterGroup

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow's graphs"
)

COUNT = 12
START = np.ones((5, 3), "float32")
GRADIENTS = np.random.default_rng(0).normal(size=(4, COUNT, 5, 3)).astype("float32")


def make(**settings):
    variables = [keras.Variable(START, name=f"v{n}") for n in range(COUNT)]
    # Half of them at another rate, a quarter from the third step on.
    groups = {
        f"v{n}": ParameterGroup(
            lr_scale=1.0 if n % 2 else 0.5, first_step=0 if n % 4 else 2
        )
        for n in range(COUNT)
    }
    optimizer = LayerwiseAdamW(0.1, weight_decay=0.3, groups=groups, **settings)
    optimizer.build(variables)
    return optimizer, variables


def after(apply, variables):
    for gradients in GRADIENTS:
        apply([tf.constant(gradient) for gradient in gradients])
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def test_variables_share_what_a_step_multiplies_with():
    optimizer, variables = make()
    step = tf.function(lambda gradients: optimizer.apply(gradients), autograph=False)
    given = [tf.TensorSpec((5, 3)) for _ in variables]
    graph = step.get_concrete_function(given).graph
    kinds = Counter(operation.type for operation in graph.get_operations())
    assert kinds["ResourceApplyAdam"] == COUNT
    # Two corrections for each of the three groups.
    assert kinds["Expm1"] == 6


def test_a_graph_and_single_steps_come_to_the_same_bits():
    optimizer, variables = make()
    eager = after(optimizer.apply, variables)
    optimizer, variables = make()
    step = tf.function(lambda gradients: optimizer.apply(gradients), autograph=False)
    np.testing.assert_array_equal(after(step, variables), eager)
    # One after another, by the method that Keras calls for each.
    optimizer, variables = make()

    def one_by_one(gradients):
        for gradient, variable in zip(gradients, variables, strict=True):
            optimizer.update_step(gradient, variable.value, tf.constant(0.1))
        optimizer.iterations.assign_add(1)

    np.testing.assert_array_equal(after(one_by_one, variables), eager)


def test_an_update_inside_a_branch_is_the_same():
    mean = GRADIENTS.reshape(2, 2, *GRADIENTS.shape[1:]).mean(axis=1)
    optimizer, variables = make()
    for gradients in mean:
        optimizer.apply([tf.constant(gradient) for gradient in gradients])
    expected = [keras.ops.convert_to_numpy(variable) for variable in variables]
    # Keras accumulates gradients by a branch that is taken every second time.
    optimizer, variables = make(gradient_accumulation_steps=2)
    step = tf.function(lambda gradients: optimizer.apply(gradients), autograph=False)
    # The others wait for a third step, which accumulated gradients do not reach here.
    early = [n for n in range(COUNT) if n % 4]
    accumulated = after(step, variables)
    # Means of two gradients, in float32, are rounded in another order.
    for number in early:
        np.testing.assert_allclose(accumulated[number], expected[number], atol=1e-6)
