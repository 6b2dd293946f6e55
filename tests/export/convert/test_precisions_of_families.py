"""Files of lower precision of networks with other stems, norms, heads and blocks."""

import dataclasses

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from export.convert import tflite
from export.convert.precisions import PRECISIONS
from export.model.forward import Network, with_features
from keras_convnext.folding import fold
from keras_convnext.models import build
from keras_convnext.preprocessing import Preprocessing
from keras_convnext.variants import VARIANTS
from tests.export.conftest import randomized, smooth_images

# One of each form that the table of variants has. The first two have what integer
# kernels lack: roots and quotients of their own, and an uncentered norm.
FORMS = (
    "convnextv2_atto",
    "convnext_zepto_rms_ols",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in (
            "convnext_atto_ols",
            "convnext_atto_rms",
            "convnext_isotropic_large",
            "convnext_isotropic_small",
            "convnext_large_mlp",
            "convnext_tiny_hnf",
            "convnext_zepto_rms",
        )
    ),
)


@pytest.fixture(scope="module")
def images():
    return smooth_images(60)


@pytest.fixture(scope="module", params=FORMS)
def case(request, images):
    """A small network of one form, its float32 file and Keras' answers."""
    variant = VARIANTS[request.param]
    is_isotropic = len(variant.depths) == 1
    depths, widths = ((2,), (24,)) if is_isotropic else ((1, 1, 2, 1), (8, 16, 24, 32))
    small = dataclasses.replace(variant, depths=depths, widths=widths)
    model = randomized(build(small, weights=None, input_shape=(32, 32, 3), classes=7))
    network = Network(
        model,
        Preprocessing(size_px=32, crop_fraction=1.0),
        fold(with_features(model)),
    )
    exact = tflite.convert(network, PRECISIONS["float32"])
    return network, exact, model.predict(images[20:], verbose=0)


# Eight bits for most activations of narrow networks. Answers of different images lie
# more than three times as far apart, which the test asks too; where norms were computed
# with 8 bits, they were 0.15 off.
@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("float32", 1e-5),
        ("dynamic_int8", 0.015),
        ("int8", 0.03),
        ("int16x8", 0.02),
        ("integer", 0.03),
    ],
)
@pytest.mark.slow
def test_each_form_of_network_stays_near_in_each_precision(name, limit, case, images):
    network, exact, expected = case
    contents = exact
    if name != "float32":
        contents = tflite.convert(network, PRECISIONS[name], images[:20], exact=exact)
    assert tflite.operators(contents)[1] == []
    interpreter = Interpreter(model_content=contents)
    if name == "integer":
        held = {each["dtype"] for each in interpreter.get_tensor_details()}
        assert held <= {np.int8, np.int16, np.int32, np.int64}
    runner = interpreter.get_signature_runner()
    dtype = runner.get_input_details()["tensors"]["dtype"]
    less = 128 if dtype is np.int8 else 0
    found = [runner(tensors=(one[None] - less).astype(dtype)) for one in images[20:]]
    found = np.concatenate([one["probabilities"] for one in found])
    step, _ = runner.get_output_details()["probabilities"]["quantization"]
    found = found * step if step else found
    np.testing.assert_allclose(found, expected, atol=limit)
    assert np.ptp(expected, axis=0).max() > 3 * limit
