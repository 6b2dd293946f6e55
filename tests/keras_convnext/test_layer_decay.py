"""Layer-wise learning rates against the official mapping, written out by hand."""

import re

import keras
import numpy as np
import pytest

import keras_convnext
from keras_convnext import layer_decay, optimizers
from keras_convnext.variants import Variant


def model_of(depths, **changes):
    """A network with these depths and next to no width."""
    variant = Variant("mini", depths, (2,) * len(depths), 0, "a test", **changes)
    return keras_convnext.models.build(
        variant, input_shape=(32, 32, 3), classes=2, weights=None
    )


def numbers(model, assignment):
    """The number of the layer that each Keras layer belongs to."""
    scales = layer_decay.lr_scales(model, 0.5, assignment)
    return {
        path.partition("/")[0]: -np.log2(scale).astype(int)
        for path, scale in scales.items()
    }


# Layer by layer, from the stem to the last norm: how far each is from the head in the
# official code's get_num_layer_for_convnext, 12 + 1 - number.
DEEP = {
    "stem_conv": 13,
    "stem_norm": 13,
    "stage0_block0_dwconv": 12,
    "stage0_block2_layer_scale": 12,
    "stage1_downsample_norm": 11,
    "stage1_downsample_conv": 11,
    "stage1_block0_expand": 11,
    "stage2_downsample_conv": 10,
    "stage2_block0_project": 10,
    "stage2_block2_project": 10,
    "stage2_block3_norm": 9,
    "stage2_block11_norm": 7,
    "stage2_block26_norm": 2,
    "stage3_downsample_norm": 1,
    "stage3_block0_dwconv": 1,
    "stage3_block2_dwconv": 1,
    "head_norm": 0,
    "head_dense": 0,
}
# With nine blocks in the third stage there are 6 layers.
SHALLOW = {
    "stem_conv": 7,
    "stage0_block2_dwconv": 6,
    "stage1_downsample_conv": 5,
    "stage1_block0_dwconv": 5,
    "stage2_downsample_conv": 4,
    "stage2_block2_dwconv": 4,
    "stage2_block3_dwconv": 3,
    "stage2_block8_dwconv": 2,
    "stage3_downsample_conv": 1,
    "stage3_block2_dwconv": 1,
    "head_norm": 0,
}
# 18 blocks: every block is a layer, 18 + 1 - number.
SINGLE = {
    "stem_conv": 18,
    "stage0_block0_dwconv": 18,
    "stage0_block2_dwconv": 16,
    "stage1_downsample_conv": 15,
    "stage1_block0_dwconv": 15,
    "stage2_downsample_conv": 12,
    "stage2_block8_dwconv": 4,
    "stage3_downsample_conv": 3,
    "stage3_block2_dwconv": 1,
    "head_dense": 0,
}


@pytest.mark.parametrize(
    ("depths", "assignment", "expected"),
    [
        ((3, 3, 27, 3), "group", DEEP),
        ((3, 3, 9, 3), "group", SHALLOW),
        ((3, 3, 9, 3), "single", SINGLE),
    ],
)
def test_each_layer_is_as_far_from_the_head_as_in_the_official_code(
    depths, assignment, expected
):
    found = numbers(model_of(depths), assignment)
    assert {name: found[name] for name in expected} == expected


# Factors of mmsegmentation 1.2.2 with decay 0.9: num_layers 6 for T, 12 for the others.
# They were printed by its optimizer constructor, to four digits.
SEGMENTATION = {
    "convnext_tiny": {
        "stem": 0.4783,
        "downsample": 0.4783,
        "stage0": 0.5314,
        "stage1": 0.5905,
        "stage2": 0.6561,
        "stage3": 0.729,
        "heads": 1.0,
    },
    "convnext_small": {
        "stem": 0.2542,
        "downsample": 0.2542,
        "stage0": 0.2824,
        "stage1": 0.3138,
        "stage2": 0.3487,
        "stage3": 0.3874,
        "heads": 1.0,
    },
}


def part_of(path):
    """The row of that table which a variable of UPerNet belongs to."""
    for part in ("stem", "downsample"):
        if f"{part}_" in path:
            return part
    return path[:6] if path.startswith("stage") else "heads"


@pytest.mark.slow  # the published depths at the published widths
@pytest.mark.parametrize("backbone", SEGMENTATION)
def test_every_variable_of_upernet_has_mmsegmentations_factor(backbone):
    model = keras_convnext.UPerNet(backbone, head_channels=8)
    model = keras.Model(model.input, [model.output, model.auxiliary])
    found = layer_decay.lr_scales(model, 0.9, "stage")
    assert set(found) == {variable.path for variable in model.trainable_variables}
    expected = {path: SEGMENTATION[backbone][part_of(path)] for path in found}
    assert found == pytest.approx(expected, abs=5e-5)
    assert {part_of(path) for path in found} == set(SEGMENTATION[backbone])


# Factors of mmdetection 3.3.0, to four digits, from the stem to the last stage; neck
# and heads have 1. Cascades of S, L and XL have a decay of 0.7, those of B one of
# 0.8, and all of them the depths of S.
DETECTION = {
    ("convnext_tiny", 0.95): (0.6983, 0.7351, 0.7738, 0.8145, 0.8574, 0.9025, 0.95),
    ("convnext_tiny", 0.7): (0.0824, 0.1176, 0.1681, 0.2401, 0.343, 0.49, 0.7),
    ("convnext_small", 0.7): (
        *(0.0097, 0.0138, 0.0198, 0.0282, 0.0404, 0.0576, 0.0824, 0.1176),
        *(0.1681, 0.2401, 0.343, 0.49, 0.7),
    ),
    ("convnext_small", 0.8): (
        *(0.055, 0.0687, 0.0859, 0.1074, 0.1342, 0.1678, 0.2097, 0.2621),
        *(0.3277, 0.4096, 0.512, 0.64, 0.8),
    ),
}


def layer_of(path, last):
    """The layer of mmdetection that a variable is of; None of neck and heads."""
    found = re.match(r"stem_|stage(\d)_(downsample_|block(\d+)_)", path)
    if found is None:
        return None
    stage, kind, block = found.groups()
    if stage is None:
        return 0
    if stage == "2":
        return 3 if block is None else 3 + int(block) // 3
    return {"0": 1, "1": 2, "3": last}[stage]


@pytest.mark.slow  # the published depths at the published widths
@pytest.mark.parametrize(("backbone", "decay"), DETECTION)
def test_every_variable_of_a_detector_has_mmdetections_factor(backbone, decay):
    build = {0.95: keras_convnext.MaskRCNN}.get(decay, keras_convnext.CascadeMaskRCNN)
    model = build(backbone, 3, channels=8, units=8)
    factors = (*DETECTION[backbone, decay], 1.0)
    last = len(factors) - 2
    found = layer_decay.lr_scales(model, decay, "group")
    assert set(found) == {variable.path for variable in model.trainable_variables}
    layers = {path: layer_of(path, last) for path in found}
    assert {*layers.values()} == {*range(last + 1), None}
    expected = {
        path: 1.0 if layer is None else factors[layer] for path, layer in layers.items()
    }
    assert found == pytest.approx(expected, abs=5e-5)


def test_stages_are_as_far_from_the_heads_as_in_mmsegmentation():
    found = numbers(model_of((3, 3, 27, 3)), "stage")
    assert found["stem_conv"] == found["stage3_downsample_conv"] == 13
    distances = [found[f"stage{stage}_block2_dwconv"] for stage in range(4)]
    assert distances == [12, 11, 10, 9]
    assert found["head_norm"] == 0


def test_an_isotropic_network_goes_by_blocks():
    model = model_of((3,), stem=keras_convnext.variants.patchify(16)[:1])
    found = numbers(model, "single")
    assert [found[f"stage0_block{b}_dwconv"] for b in range(3)] == [3, 2, 1]
    with pytest.raises(ValueError, match="'group' is for 4 stages"):
        layer_decay.lr_scales(model, 0.5)


def test_groups_carry_the_rate_and_the_decay_of_every_variable():
    model = model_of((1, 1, 1, 1))
    groups = optimizers.parameter_groups(model, layer_decay=0.5)
    assert groups["stem_conv/kernel"] == optimizers.ParameterGroup(2.0**-7, True)
    assert groups["stem_conv/bias"] == optimizers.ParameterGroup(2.0**-7, False)
    assert groups["head_dense/kernel"] == optimizers.ParameterGroup(1.0, True)
    assert set(groups) == {variable.path for variable in model.trainable_variables}


@pytest.mark.parametrize(
    ("decay", "assignment", "words"),
    [
        (0.0, "group", "layer_decay is 0.0, not in"),
        (1.5, "group", "layer_decay is 1.5, not in"),
        (0.5, "layer", "assignment is 'layer', not one of group, single, stage"),
    ],
)
def test_other_settings_are_refused(decay, assignment, words):
    with pytest.raises(ValueError, match=words):
        layer_decay.lr_scales(model_of((1, 1, 1, 1)), decay, assignment)


def test_another_kind_of_model_is_refused():
    import keras

    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    with pytest.raises(ValueError, match="layers named as ConvNeXt's are"):
        layer_decay.lr_scales(model, 0.5)


def test_a_backbone_inside_of_another_model_has_the_rates_of_one_alone():
    backbone = model_of((1, 1, 2, 1))
    alone = layer_decay.lr_scales(backbone, 0.5, "single")
    image = keras.Input((32, 32, 3))
    head = keras.layers.Dense(2, name="own")
    for model in (
        keras.Model(image, head(backbone(image))),
        keras.Sequential([image, keras.layers.RandomFlip(), backbone, head]),
    ):
        inside = layer_decay.lr_scales(model, 0.5, "single")
        assert inside == {**alone, **{each.path: 1.0 for each in head.weights}}
