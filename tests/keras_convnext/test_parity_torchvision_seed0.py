"""Against the logits that torchvision's own tests expect of `convnext_tiny`.

The weights are torchvision's random ones of seed 0, whose LayerScale of 1e-6 lets the
blocks change the logits by 2e-6: this checks stem, downsampling, norms and head only.
`test_parity_recorded.py` checks the blocks.
"""

import pathlib

import keras
import numpy as np
import pytest

from keras_convnext import ConvNeXtTiny
from keras_convnext.models import layers_by_name
from tests.keras_convnext.reference import dialects

PUBLISHED = (
    pathlib.Path(__file__).parents[3]
    / "shared"
    / "reference"
    / "torchvision_seed0_convnext_tiny.npz"
)


@pytest.mark.skipif(
    not PUBLISHED.exists(), reason=f"the weights are not here: {PUBLISHED}"
)
def test_tiny_without_its_blocks_has_the_logits_torchvision_expects():
    with np.load(PUBLISHED) as arrays:
        stored = {name: arrays[name] for name in arrays.files}
    image = stored.pop("input_nchw").transpose(0, 2, 3, 1)
    expected = stored.pop("expected_logits")
    model = ConvNeXtTiny(
        weights=None,
        include_preprocessing=False,
        classes=expected.shape[1],
        classifier_activation=None,
        layer_scale_init_value=0.0,
    )
    layers = layers_by_name(model)
    for key, values in stored.items():
        name = dialects.canonical("torchvision", key, stored)
        layer, variable = name.split("/")
        getattr(layers[layer], variable).assign(dialects.to_keras(name, values))
    logits = keras.ops.convert_to_numpy(model(image))
    # Their own tolerance is 1e-3; leaving the blocks out costs 2e-6 of it.
    np.testing.assert_allclose(logits, expected, atol=1e-5)
