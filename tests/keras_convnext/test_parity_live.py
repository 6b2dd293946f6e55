"""Every variant against other implementations that run here: whole tensors.

`make parity` makes an environment with PyTorch, timm, transformers and torchvision and
runs this file there; without them its tests are skipped. Meta's code is no package:
META_CONVNEXT and META_CONVNEXT_V2 name checkouts of its two repositories.
"""

import importlib.util

import numpy as np
import pytest

from keras_convnext.variants import VARIANTS
from tests.keras_convnext.reference import keras_models, name_seeded, paper, recorded
from tests.keras_convnext.reference.cases import CASES

if importlib.util.find_spec("torch") is None:
    pytest.skip("PyTorch is not installed: see make parity", allow_module_level=True)

from tests.keras_convnext.reference import torch_models

# As in test_parity_recorded.py: a share of each output's largest entry.
TOLERANCE = 2e-5
SMALL = 30_000_000


def marks(case):
    missing = torch_models.missing(case.oracle)
    slow = case.depths is not None or VARIANTS.get(case.variant) is None
    slow = slow or VARIANTS[case.variant].parameters > SMALL
    return [
        pytest.mark.skipif(missing is not None, reason=str(missing)),
        *([pytest.mark.slow] if slow else []),
    ]


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.key, marks=marks(case)) for case in CASES]
)
def test_logits_and_features_equal_those_computed_now(case):
    ours = keras_models.outputs(case)
    theirs = torch_models.outputs(case)
    assert set(ours) == set(theirs)
    found = {n: recorded.deviation(ours[n], theirs[n]) for n in theirs}
    assert max(found.values()) < TOLERANCE, found


def test_what_was_recorded_is_what_is_computed_now():
    case = next(c for c in CASES if c.key == "timm/convnext_atto")
    _, recordings = recorded.read("timm")
    for name, values in torch_models.outputs(case).items():
        shape, numbers = recordings[case.key][name]
        assert values.shape == shape
        assert recorded.deviation(recorded.summary(values), numbers) < TOLERANCE


@pytest.mark.skipif(
    torch_models.missing("meta") is not None, reason=str(torch_models.missing("meta"))
)
def test_the_papers_formulas_as_written_here_are_those_of_metas_code():
    case = next(c for c in CASES if c.key == "meta/convnextv2_atto")
    theirs = torch_models.outputs(case)
    depths, widths = torch_models.SIZES["atto"]
    formulas = paper.Paper(depths, widths, 4, True, False, name_seeded.weights)
    images = name_seeded.normalized_nchw(name_seeded.images()).transpose(0, 2, 3, 1)
    for name, values in formulas.outputs(images.astype("float64"), 1000).items():
        found = recorded.deviation(theirs[name], values)
        assert found < TOLERANCE, (name, found)
        assert np.isfinite(values).all()
