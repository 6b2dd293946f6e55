"""The table of shapes against published figures."""

from dataclasses import replace

import pytest

from keras_convnext import create, describe, list_variants
from keras_convnext.builders import _PUBLIC_NAMES
from keras_convnext.models import build
from keras_convnext.variants import VARIANTS, multiply_accumulates
from tests.checks import tiny_variant

# Paper tables 1, 2 and 12 of arXiv:2201.03545 and table 3 and appendix of
# arXiv:2301.00808, in units of 1e9 at 224x224, as many digits as are printed.
PRINTED_COST = {
    "convnext_tiny": "4.5",
    "convnext_small": "8.7",
    "convnext_base": "15.4",
    "convnext_large": "34.4",
    "convnext_xlarge": "60.9",
    "convnext_isotropic_small": "4.3",
    "convnext_isotropic_base": "16.9",
    "convnext_isotropic_large": "59.7",
    "convnextv2_atto": "0.55",
    "convnextv2_femto": "0.78",
    "convnextv2_pico": "1.37",
    "convnextv2_nano": "2.45",
    "convnextv2_tiny": "4.5",
    "convnextv2_base": "15.4",
    "convnextv2_large": "34.4",
    "convnextv2_huge": "115",
}
# The paper's table 1 and the 384-pixel rows.
PRINTED_COST_384 = {
    "convnext_tiny": "13.1",
    "convnext_small": "25.5",
    "convnext_base": "45.1",
    "convnext_large": "101.0",
    "convnext_xlarge": "179.0",
}
BIG = 40_000_000


@pytest.mark.parametrize(("name", "printed"), PRINTED_COST.items())
def test_multiply_accumulates_equal_the_papers_to_the_printed_digit(name, printed):
    digits = len(printed.partition(".")[2])
    cost = multiply_accumulates(VARIANTS[name]) / 1e9
    assert f"{cost:.{digits}f}" == printed


@pytest.mark.parametrize(("name", "printed"), PRINTED_COST_384.items())
def test_cost_at_384_pixels_equals_the_papers(name, printed):
    cost = multiply_accumulates(VARIANTS[name], size_px=384) / 1e9
    assert f"{cost:.1f}" == printed


def walk_cost(model):
    """Counts multiplications from the built layers' kernels and output maps."""
    total = 0
    for layer in model.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is None:
            continue
        size = 1
        for side in kernel.shape:
            size *= side
        positions = 1
        for side in layer.output.shape[1:-1]:
            positions *= side
        total += size * positions
    return total


# A variant of every form: those that differ in nothing but depth and width are one.
FORMS = {
    replace(tiny_variant(name), name="tiny", parameters=0, source=""): name
    for name in VARIANTS
}


@pytest.mark.parametrize("name", FORMS.values())
@pytest.mark.parametrize("size_px", [pytest.param(64, marks=pytest.mark.slow), 100])
def test_closed_form_of_the_cost_equals_a_walk_over_the_layers(name, size_px):
    # Every stage has another width, and one of them two blocks.
    small = tiny_variant(name)
    model = build(small, input_shape=(size_px, size_px, 3), classes=10)
    assert walk_cost(model) == multiply_accumulates(small, size_px, 10)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if v.parameters > BIG else [])
        for name, v in VARIANTS.items()
    ],
)
def test_variant_builds_with_the_published_number_of_parameters(name):
    model = create(name)
    trainable = sum(v.shape.num_elements() for v in model.trainable_variables)
    assert model.count_params() == VARIANTS[name].parameters == trainable


def test_there_are_the_28_of_timm_and_the_3_isotropic_ones():
    assert len(list_variants()) >= 28 + 3  # and who adds a row adds to them
    assert len(list_variants("*isotropic*")) >= 3
    assert len(list_variants("convnextv2_*")) >= 9
    assert set(_PUBLIC_NAMES) <= set(VARIANTS)


def test_wrong_name_is_answered_with_the_closest_three():
    with pytest.raises(ValueError, match=r"'convnext_tinny'.*convnext_tiny,"):
        create("convnext_tinny")


def test_description_of_a_variant_has_its_figures():
    text = describe("convnext_tiny", size_px=224)
    assert "28,589,128" in text
    assert "4.46 G" in text
    assert "(3, 3, 9, 3)" in text
