"""The optimizer against what torch and timm did (reference/make_adamw.py)."""

import json
import re
from pathlib import Path

import keras
import numpy as np

import keras_convnext
from keras_convnext import optimizers
from keras_convnext.optimizers import LayerwiseAdamW, ParameterGroup

RECORDED = json.loads(
    (Path(__file__).parents[1] / "reference" / "adamw.json").read_text()
)


def test_trajectories_are_torchs_with_each_parameters_own_rate():
    recorded = RECORDED["trajectory"]
    groups = {
        f"parameter{number}": ParameterGroup(lr_scale=scale)
        for number, scale in enumerate(recorded["scales"])
    }
    variables = [
        keras.Variable(np.float32(values), name=name)
        for name, values in zip(groups, recorded["start"], strict=True)
    ]
    optimizer = LayerwiseAdamW(
        recorded["lr"], weight_decay=recorded["weight_decay"], groups=groups
    )
    optimizer.build(variables)
    for gradients, expected in zip(
        recorded["gradients"], recorded["values"], strict=True
    ):
        optimizer.apply([keras.ops.convert_to_tensor(np.float32(g)) for g in gradients])
        actual = [keras.ops.convert_to_numpy(variable) for variable in variables]
        # Both sides round in float32, in another order, at values of about 1.
        np.testing.assert_allclose(actual, expected, atol=1e-6)


# Keras' layer and variable names, and the ends of timm's names for the same.
TIMM = {
    "stem_conv": "stem.0",
    "stem_norm": "stem.1",
    "downsample_norm": "downsample.0",
    "downsample_conv": "downsample.1",
    "dwconv": "conv_dw",
    "norm": "norm",
    "expand": "mlp.fc1",
    "project": "mlp.fc2",
    "head_norm": "head.norm",
    "head_dense": "head.fc",
}
VARIABLES = {"kernel": "weight", "gamma": "weight", "bias": "bias", "beta": "bias"}


def timm_name(path):
    layer, variable = path.split("/")
    stage = ""
    if found := re.match(r"stage(\d)_block(\d)_(.*)", layer):
        stage, layer = f"stages.{found[1]}.blocks.{found[2]}.", found[3]
    elif found := re.match(r"stage(\d)_(.*)", layer):
        stage, layer = f"stages.{found[1]}.", found[2]
    if layer == "layer_scale":
        return f"{stage}gamma"
    return f"{stage}{TIMM[layer]}.{VARIABLES[variable]}"


def test_rates_and_decay_of_every_parameter_are_those_of_timms_factory():
    recorded = RECORDED["factory"]
    model = keras_convnext.create("test_convnext", input_shape=(32, 32, 3), classes=3)
    groups = optimizers.parameter_groups(
        model, recorded["layer_decay"], assignment="single"
    )
    ours = {
        timm_name(path): [group.lr_scale, group.decays]
        for path, group in groups.items()
    }
    expected = recorded["parameters"]
    for name in expected:
        if name.startswith("stem."):
            # timm gives the stem a layer of its own; the official code has it share
            # the first block's.
            expected[name][0] /= recorded["layer_decay"]
    assert ours == expected
