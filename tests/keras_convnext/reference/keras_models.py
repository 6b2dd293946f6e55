"""This project's models, filled from `name_seeded` and run."""

import functools
from dataclasses import replace

import keras
import numpy as np

from keras_convnext import pyramid
from keras_convnext.models import build
from keras_convnext.variants import Variant, find_variant
from tests.keras_convnext.reference import name_seeded
from tests.keras_convnext.reference.cases import Case


def variant(case: Case) -> Variant:
    """Returns the row that the case compares, at the case's depths."""
    row = find_variant(case.variant)
    return row if case.depths is None else replace(row, depths=case.depths)


def outputs_of_row(row: Variant) -> dict[str, np.ndarray]:
    """Returns the result of `outputs` for a row without a case."""
    found = dict(_outputs(row))
    del found["pooled"]
    return found


def outputs(case: Case) -> dict[str, np.ndarray]:
    """Runs the case's variant on `name_seeded.images()`.

    Returns:
        What `torch_models.outputs` returns.
    """
    # Several implementations have the same variant, and the same weights for it.
    found = dict(_outputs(variant(case), case.output_stride, case.head_epsilon))
    pooled = found.pop("pooled")
    return found if case.top else {**found, "head": pooled}


@functools.cache
def _outputs(
    row: Variant, output_stride: int = 32, head_epsilon: float | None = None
) -> dict[str, np.ndarray]:
    model = build(
        row,
        classifier_activation=None,
        input_shape=name_seeded.IMAGES_SHAPE[1:],
        output_stride=output_stride,
    )
    head_norm = model.get_layer("head_norm")
    if head_epsilon is not None:
        head_norm.epsilon = head_epsilon
    name_seeded.fill_keras(model)
    tensors = {
        "head": model.output,
        "pooled": head_norm.output,
        **pyramid(model).pyramid_outputs,
    }
    everything = keras.Model(model.input, tensors)
    results = everything(name_seeded.images())
    return {name: keras.ops.convert_to_numpy(x) for name, x in results.items()}
