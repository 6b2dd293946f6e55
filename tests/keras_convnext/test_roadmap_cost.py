"""What the steps cost: against the paper's tables, and against built networks."""

import keras
import numpy as np
import pytest

from keras_convnext import roadmap, variants

# Source: arXiv:2201.03545, tables 10 and 11, the column of GFLOPs.
PRINTED = {
    "resnet50": (4.09, 15.01),
    "stage_ratio": (4.53, 14.52),
    "patchify": (4.42, 14.38),
    "depthwise": (2.35, 7.23),
    "width": (5.27, 16.76),
    "inverted_bottleneck": (4.64, 15.68),
    "move_depthwise_up": (4.07, 14.63),
    "kernel_5": (4.10, 14.70),
    "kernel_7": (4.15, 14.81),
    "kernel_9": (4.21, 14.95),
    "kernel_11": (4.29, 15.13),
    "gelu": (4.15, 14.81),
    "fewer_activations": (4.15, 14.81),
    "fewer_norms": (4.15, 14.81),
    # Printed: 4.46. Norms cost nothing here, so layer norm changes nothing, as in the
    # other column; docs/roadmap.md says what the printed figure may be.
    "layer_norm": (4.15, 14.81),
    # Printed: 4.49; 4.456 is what convolutions and dense layers come to.
    "separate_downsampling": (4.46, 15.35),
}
STEPS_END = "separate_downsampling"
KINDS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
CASES = [(step, regime) for regime in roadmap.REGIMES for step in roadmap.STEPS]
# Each with the paper's stem; each kind of stem and of downsampling without one too.
# Every step changes one thing of the one before it; these are spread over the road.
OFTEN = ("resnet50", "inverted_bottleneck", "kernel_7", "layer_norm", STEPS_END)
BUILT = [
    pytest.param(step, 4, 96, marks=[] if step in OFTEN else [pytest.mark.slow])
    for step in roadmap.STEPS
] + [
    (step, 1, 16)
    for step in ("resnet50", "inverted_bottleneck", "layer_norm", STEPS_END)
]


def small(step, regime="resnet50"):
    return roadmap.reduced(roadmap.design(step, regime), 0.25, 0.0625)


def counted(model):
    """Multiplications, layer by layer: outputs times the weights that each one sees."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, KINDS):
            positions = np.prod(layer.output.shape[1:-1], dtype=int)
            total += positions * np.prod(layer.kernel.shape, dtype=int)
    return int(total)


@pytest.mark.parametrize(("step", "regime"), CASES)
def test_the_cost_is_the_printed_one(step, regime):
    found = roadmap.multiply_accumulates(roadmap.design(step, regime)) / 1e9
    # Half a unit of the last printed digit: no allowance beyond the rounding.
    printed = PRINTED[step][roadmap.REGIMES.index(regime)]
    assert abs(found - printed) <= 0.005


def test_the_last_step_costs_what_convnext_costs():
    found = roadmap.multiply_accumulates(roadmap.design("separate_downsampling"))
    assert found == 4_455_531_264


@pytest.mark.parametrize(
    ("step", "regime", "parameters"),
    [
        ("resnet50", "resnet50", 25_557_032),  # torchvision's resnet50
        ("separate_downsampling", "resnet50", 28_589_128),  # ConvNeXt-T
        ("separate_downsampling", "resnet200", 88_591_464),  # ConvNeXt-B
    ],
)
def test_both_ends_have_the_published_parameters(step, regime, parameters):
    assert roadmap.parameters(roadmap.design(step, regime)) == parameters


@pytest.mark.parametrize(("step", "patch_size", "size_px"), BUILT)
def test_cost_and_parameters_are_those_of_the_built_network(step, patch_size, size_px):
    model = roadmap.build(
        small(step),
        input_shape=(size_px, size_px, 3),
        classes=7,
        patch_size=patch_size,
    )
    assert roadmap.multiply_accumulates(
        small(step), size_px, classes=7, patch_size=patch_size
    ) == counted(model)
    assert roadmap.parameters(small(step), classes=7, patch_size=patch_size) == sum(
        np.prod(v.shape, dtype=int) for v in model.trainable_variables
    )


def test_the_table_has_the_baseline_twice_and_every_step():
    table = roadmap.table()
    assert [(row.step, row.recipe) for row in table][:2] == [
        ("resnet50", "PyTorch"),
        ("resnet50", "enhanced"),
    ]
    assert [row.step for row in table][1:] == list(roadmap.STEPS)
    assert len(table) == 17


@pytest.mark.parametrize(
    ("regime", "step", "accuracy", "difference"),
    [
        ("resnet50", "resnet50", 78.82, 2.69),
        ("resnet50", "depthwise", 78.28, -1.23),
        ("resnet50", "kernel_7", 80.57, 0.65),
        ("resnet50", "kernel_11", 80.47, 0.55),  # from move_depthwise_up too
        ("resnet50", "gelu", 80.62, 0.05),  # from kernel_7
        ("resnet200", "resnet50", 81.14, 2.94),
        ("resnet200", "gelu", 82.19, -0.11),
        ("resnet200", "separate_downsampling", 83.60, 0.25),
    ],
)
def test_the_table_measures_each_step_from_the_one_it_changes(
    regime, step, accuracy, difference
):
    row = next(
        row
        for row in roadmap.table(regime)
        if row.step == step and row.recipe == "enhanced"
    )
    assert row.paper.accuracy == accuracy
    assert row.difference == pytest.approx(difference, abs=1e-9)


@pytest.mark.parametrize("regime", roadmap.REGIMES)
def test_the_printed_costs_of_the_table_are_the_papers(regime):
    column = roadmap.REGIMES.index(regime)
    expected = {step: figures[column] for step, figures in PRINTED.items()}
    if regime == "resnet50":
        expected |= {"layer_norm": 4.46, "separate_downsampling": 4.49}
    assert {row.step: row.paper.gflops for row in roadmap.table(regime)} == expected


def test_the_table_reads_as_markdown():
    lines = str(roadmap.table()).splitlines()
    assert len(lines) == 2 + 17
    assert lines[2].startswith("| resnet50, PyTorch recipe | 25,557,032 | 4.09 (4.09)")
    assert lines[-1].endswith("| 28,589,128 | 4.46 (4.49) | 81.97 ± 0.06 | +0.50 |")
    assert {line.count("|") for line in lines} == {6}


def test_an_unknown_regime_has_no_table():
    with pytest.raises(ValueError, match="regime is 'resnet18', not 'resnet50' or"):
        roadmap.table("resnet18")


def test_the_library_and_the_road_count_convnext_alike():
    tiny = roadmap.multiply_accumulates(roadmap.design("separate_downsampling"), 384)
    assert tiny == variants.multiply_accumulates(
        variants.VARIANTS["convnext_tiny"], 384
    )
