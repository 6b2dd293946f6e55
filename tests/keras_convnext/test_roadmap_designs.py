"""The designs on the road: what each step changes, and what it leaves alone."""

from dataclasses import FrozenInstanceError, asdict, replace

import pytest

import keras_convnext
from keras_convnext import roadmap

# Source: arXiv:2201.03545, section 2, figure 2 read from top to bottom.
ORDER = [
    "resnet50",
    "stage_ratio",
    "patchify",
    "depthwise",
    "width",
    "inverted_bottleneck",
    "move_depthwise_up",
    "kernel_5",
    "kernel_7",
    "kernel_9",
    "kernel_11",
    "gelu",
    "fewer_activations",
    "fewer_norms",
    "layer_norm",
    "separate_downsampling",
]
# Step, the step whose design it changes, the field, what it becomes.
ONE_CHANGE = [
    ("stage_ratio", "resnet50", "depths", (3, 3, 9, 3)),
    ("patchify", "stage_ratio", "stem", "patchify"),
    ("depthwise", "patchify", "spatial", "depthwise"),
    ("width", "depthwise", "width", 96),
    ("inverted_bottleneck", "width", "bottleneck", "inverted"),
    ("move_depthwise_up", "inverted_bottleneck", "spatial_place", "first"),
    ("kernel_5", "move_depthwise_up", "kernel_px", 5),
    ("kernel_7", "move_depthwise_up", "kernel_px", 7),
    ("kernel_9", "move_depthwise_up", "kernel_px", 9),
    ("kernel_11", "move_depthwise_up", "kernel_px", 11),
    ("gelu", "kernel_7", "activation", "gelu"),
    ("fewer_activations", "gelu", "activations", "one"),
    ("fewer_norms", "fewer_activations", "norms", "one"),
    ("layer_norm", "fewer_norms", "norm", "layer"),
    ("separate_downsampling", "layer_norm", "downsampling", "separate"),
]
# What the larger road does otherwise. Source: table 11.
LARGER = {
    "stage_ratio": {"depths": (3, 3, 27, 3), "width": 84},
    "width": {"width": 128},
}


def changed(before, after):
    old, new = asdict(before), asdict(after)
    return {name: new[name] for name in new if new[name] != old[name]}


def test_the_steps_come_in_the_order_of_the_papers_figure():
    assert list(roadmap.STEPS) == ORDER
    assert keras_convnext.roadmap is roadmap


def test_the_baselines_are_the_two_resnets():
    assert roadmap.design("resnet50").depths == (3, 4, 6, 3)
    assert roadmap.design("resnet50", "resnet200").depths == (3, 24, 36, 3)
    assert {roadmap.design("resnet50", regime).width for regime in roadmap.REGIMES} == {
        64
    }


@pytest.mark.parametrize(("step", "before", "field", "value"), ONE_CHANGE)
def test_exactly_one_thing_changes_in_a_step(step, before, field, value):
    found = changed(roadmap.design(before), roadmap.design(step))
    assert found == {field: value}


@pytest.mark.parametrize(("step", "before", "field", "value"), ONE_CHANGE)
def test_the_larger_road_changes_the_same_things(step, before, field, value):
    found = changed(
        roadmap.design(before, "resnet200"), roadmap.design(step, "resnet200")
    )
    assert found == LARGER.get(step, {field: value})


def test_every_step_says_where_the_paper_takes_it():
    assert [step.name for step in roadmap.ROAD] == ORDER
    for step in roadmap.ROAD:
        assert step.section.startswith("section 2."), step
        assert step.title


def test_a_design_cannot_be_changed_in_place():
    with pytest.raises(FrozenInstanceError):
        roadmap.design("resnet50").width = 3


def test_an_unknown_step_and_an_unknown_regime_are_named_together():
    with pytest.raises(ValueError, match=r"'kernel_6' \(.*'kernel_.*regime is 'big'"):
        roadmap.design("kernel_6", "big")


def test_a_design_that_is_none_lists_all_that_is_wrong():
    with pytest.raises(ValueError, match=r"norm is 'group', .*depths .*kernel_px is 4"):
        replace(roadmap.design("gelu"), norm="group", depths=(), kernel_px=4)


@pytest.mark.parametrize(
    ("depth_factor", "width_factor", "depths", "width"),
    [
        (1.0, 1.0, (3, 4, 6, 3), 64),
        (0.5, 0.25, (2, 2, 3, 2), 16),  # 3 / 2 is rounded up
        (0.34, 0.3, (1, 1, 2, 1), 19),
        (0.01, 0.001, (1, 1, 1, 1), 1),  # something always stays
    ],
)
def test_a_design_is_made_smaller_by_rounding_halves_up(
    depth_factor, width_factor, depths, width
):
    small = roadmap.reduced(roadmap.design("resnet50"), depth_factor, width_factor)
    assert (small.depths, small.width) == (depths, width)


@pytest.mark.parametrize("factor", [0.0, -1.0, 1.5, float("nan")])
def test_factors_outside_0_to_1_are_refused(factor):
    with pytest.raises(ValueError, match=r"depth_factor is .*width_factor is"):
        roadmap.reduced(roadmap.design("gelu"), factor, factor)
