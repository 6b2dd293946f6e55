"""The models in float64 against the papers' formulas written out in NumPy."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from keras_convnext import pyramid
from keras_convnext.models import build
from keras_convnext.variants import find_variant
from tests.keras_convnext.reference import name_seeded
from tests.keras_convnext.reference.paper import Paper
from tests.keras_convnext.reference.recorded import deviation

CLASSES = 10
# What the papers' tables print: depths, widths, patch, GRN, layer scale. The isotropic
# networks, which have 18, 18 and 36 blocks all alike, are cut to a few.
ROWS = {
    "convnext_tiny": ((3, 3, 9, 3), (96, 192, 384, 768), 4, False, True),
    "convnextv2_atto": ((2, 2, 6, 2), (40, 80, 160, 320), 4, True, False),
    "convnext_isotropic_small": ((6,), (384,), 16, False, False),
    "convnext_isotropic_base": ((2,), (768,), 16, False, False),
    "convnext_isotropic_large": ((1,), (1024,), 16, False, True),
}


@pytest.mark.parametrize("name", ROWS)
def test_model_in_float64_equals_the_papers_formulas(name):
    depths, widths, patch_px, grn, layer_scale = ROWS[name]
    row = replace(find_variant(name), depths=depths)
    images = name_seeded.normalized_nchw(name_seeded.images()).transpose(0, 2, 3, 1)
    model = build(
        row,
        include_preprocessing=False,
        classifier_activation=None,
        classes=CLASSES,
        input_shape=images.shape[1:],
        dtype="float64",
    )
    name_seeded.fill_keras(model)
    tensors = {"head": model.output, **pyramid(model).pyramid_outputs}
    ours = keras.Model(model.input, tensors)(images)
    paper = Paper(depths, widths, patch_px, grn, layer_scale, name_seeded.weights)
    theirs = paper.outputs(images.astype("float64"), CLASSES)
    assert set(ours) == set(theirs)
    for output, expected in theirs.items():
        # Float64 keeps 16 digits, and the sums of 18 blocks cost four of them at most.
        assert deviation(np.asarray(ours[output]), expected) < 1e-11, output
