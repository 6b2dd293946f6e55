"""The networks on the road: what they compute, and that every one of them learns."""

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_convnext import models, roadmap
from keras_convnext.layers import LayerNorm, LayerScale, StochasticDepth
from keras_convnext.variants import find_variant
from tests.keras_convnext.roadmap.drawn import drawn, images

RECORDED = Path(__file__).with_name("roadmap") / "resnet50.npz"
STEPS_END = "separate_downsampling"
NORMS = (keras.layers.BatchNormalization, LayerNorm)


def short(step):
    """Two stages of two blocks: one that halves the image, and ones that do not."""
    return replace(roadmap.design(step), depths=(2, 2), width=6)


def build_short(step, **changes):
    settings = {"input_shape": (16, 16, 3), "classes": 5, "seed": 1, **changes}
    return roadmap.build(short(step), **settings)


def kinds(model, *classes):
    return [layer.name for layer in model.layers if isinstance(layer, classes)]


def test_resnet50_computes_what_torchvisions_computes():
    recorded = np.load(RECORDED)
    network = roadmap.build(
        "resnet50",
        input_shape=(None, None, 3),
        include_preprocessing=False,
        classifier_activation=None,
    )
    for variable in network.variables:
        if "seed" not in variable.path:
            variable.assign(drawn(variable.path, tuple(variable.shape)))
    parameters = sum(np.prod(v.shape, dtype=int) for v in network.trainable_variables)
    assert parameters == recorded["parameters"] == 25_557_032
    for size_px in (64, 71):
        ours = network(images(2, size_px), training=False).numpy()
        theirs = recorded[f"logits_{size_px}"]
        assert theirs.std() > 1  # the weights were drawn so that there is a signal
        # Logits of about 4; 53 float32 convolutions in another order of summing.
        np.testing.assert_allclose(ours, theirs, atol=2e-4)


@pytest.mark.parametrize("step", roadmap.STEPS)
def test_every_step_learns_with_every_parameter(step):
    network = build_short(step, classifier_activation=None)
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (8, 16, 16, 3)).astype(np.float32)
    labels = rng.integers(0, 5, 8)
    for variable in network.trainable_variables:
        if variable.path.endswith("layer_scale/gamma"):
            # At 1e-6 the branch's gradients would be finite but say nothing.
            variable.assign(np.full(variable.shape, 0.5, np.float32))
    optimizer = keras.optimizers.SGD(0.1)
    with tf.GradientTape() as tape:
        logits = network(images, training=True)
        assert logits.shape == (8, 5)
        loss = keras.losses.sparse_categorical_crossentropy(labels, logits, True)
        loss = tf.reduce_mean(loss)
    variables = network.trainable_variables
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    for variable, gradient in zip(variables, gradients, strict=True):
        assert gradient is not None, variable.path
        assert np.isfinite(gradient).all(), variable.path
        assert np.abs(gradient).max() > 0, variable.path
    before = [variable.numpy() for variable in variables]
    optimizer.apply(gradients, variables)
    for variable, old in zip(variables, before, strict=True):
        assert np.isfinite(variable.numpy()).all(), variable.path
        assert (variable.numpy() != old).any(), variable.path


@pytest.mark.parametrize(
    ("step", "activations", "norms", "pools"),
    [
        # Stem and four blocks; every block has three, a shortcut its norm.
        ("resnet50", 1 + 4 * 3, 1 + 4 * 3 + 2, 1),
        ("patchify", 4 * 3, 4 * 3 + 2, 0),
        ("inverted_bottleneck", 4 * 3, 4 * 3 + 1, 0),  # the first stage needs none
        ("fewer_activations", 4, 4 * 3 + 1, 0),
        ("fewer_norms", 4, 4, 0),
        ("layer_norm", 4, 4, 0),
        # Behind the stem, before the second stage, before the classifier.
        ("separate_downsampling", 4, 4 + 3, 0),
    ],
)
def test_a_network_has_so_many_activations_norms_and_pools(
    step, activations, norms, pools
):
    network = build_short(step)
    assert len(kinds(network, keras.layers.Activation)) == activations
    assert len(kinds(network, *NORMS)) == norms
    assert len(kinds(network, keras.layers.MaxPooling2D)) == pools


def test_only_batch_norm_makes_a_bias_superfluous():
    biased = {
        step: [
            layer.name
            for layer in build_short(step).layers
            if getattr(layer, "use_bias", False) and layer.name != "head_dense"
        ]
        for step in ("resnet50", "fewer_activations", "fewer_norms", "layer_norm")
    }
    assert biased["resnet50"] == []
    assert biased["fewer_activations"] == ["stem_conv"]
    assert "stage0_block0_dwconv" not in biased["fewer_norms"]
    assert "stage0_block0_project" in biased["fewer_norms"]
    assert "stage0_block0_dwconv" in biased["layer_norm"]


@pytest.mark.parametrize(
    ("step", "order"),
    [
        ("resnet50", ["reduce", "conv", "expand"]),
        ("depthwise", ["reduce", "dwconv", "expand"]),
        ("inverted_bottleneck", ["expand", "dwconv", "project"]),
        ("move_depthwise_up", ["dwconv", "expand", "project"]),
        ("layer_norm", ["dwconv", "norm", "expand", "gelu", "project"]),
    ],
)
def test_a_block_has_its_layers_in_the_papers_order(step, order):
    prefix = "stage0_block1_"
    names = [
        layer.name.removeprefix(prefix)
        for layer in build_short(step).layers
        if layer.name.startswith(prefix)
    ]
    assert [name for name in names if name in order] == order


@pytest.mark.parametrize(
    ("regime", "name", "depths"),
    [
        # The depths are counted by test_roadmap_cost.
        ("resnet50", "convnext_tiny", (1, 1, 2, 1)),
        pytest.param("resnet50", "convnext_tiny", None, marks=pytest.mark.slow),
        pytest.param("resnet200", "convnext_base", None, marks=pytest.mark.slow),
    ],
)
def test_the_last_step_is_convnext_and_takes_its_weights(regime, name, depths):
    design, variant = roadmap.design(STEPS_END, regime), find_variant(name)
    if depths is not None:
        design, variant = (replace(each, depths=depths) for each in (design, variant))
    ours = roadmap.build(design, input_shape=(32, 32, 3))
    theirs = models.build(variant, weights=None, input_shape=(32, 32, 3))
    shapes = [(v.path, tuple(v.shape)) for v in theirs.weights]
    assert [(v.path, tuple(v.shape)) for v in ours.weights] == shapes
    rng = np.random.default_rng(0)
    for variable in theirs.weights:
        if variable.path.endswith("gamma"):  # layer scale begins at nothing
            variable.assign(rng.uniform(0.1, 1, variable.shape))
    ours.set_weights(theirs.get_weights())
    images = rng.uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(ours(images), theirs(images))


def test_weights_files_of_convnext_load_into_the_last_step(tmp_path):
    path = tmp_path / "short.weights.h5"
    settings = {"input_shape": (16, 16, 3), "classes": 5}
    theirs = build_short("separate_downsampling", seed=7)
    theirs.save_weights(path)
    ours = roadmap.build(short("separate_downsampling"), weights=str(path), **settings)
    for old, new in zip(theirs.weights, ours.weights, strict=True):
        np.testing.assert_array_equal(old.numpy(), new.numpy())


@pytest.mark.parametrize("step", ["resnet50", "layer_norm", "separate_downsampling"])
def test_layer_scale_and_stochastic_depth_come_in_every_step_alike(step):
    network = build_short(step, layer_scale_init_value=0.5, stochastic_depth_rate=0.3)
    scales = [layer for layer in network.layers if isinstance(layer, LayerScale)]
    assert [layer.init_value for layer in scales] == [0.5] * 4
    drops = [layer for layer in network.layers if isinstance(layer, StochasticDepth)]
    # From 0 at the first block to the rate at the last, in even steps.
    assert [layer.rate for layer in drops] == pytest.approx([0.0, 0.1, 0.2, 0.3])
    without = build_short(step, layer_scale_init_value=None)
    assert kinds(without, LayerScale) == []


@pytest.mark.parametrize(
    ("patch_size", "side"), [(4, 56 // 2), (2, 112 // 2), (1, 224 // 2)]
)
@pytest.mark.parametrize("step", ["resnet50", "patchify"])
def test_both_stems_take_the_same_patch_size(step, patch_size, side):
    network = roadmap.build(
        replace(short(step), width=1),
        input_shape=(224, 224, 3),
        include_top=False,
        patch_size=patch_size,
    )
    assert network.output_shape[1:3] == (side, side)


def test_norms_and_head_stay_in_float32_under_mixed_precision():
    network = build_short("resnet50", dtype="mixed_bfloat16")
    images = np.zeros((2, 16, 16, 3), np.float32)
    assert network(images).dtype == "float32"
    assert {v.dtype for v in network.trainable_variables} == {"float32"}
    by_name = {layer.name: layer for layer in network.layers}
    assert by_name["stage0_block0_conv"].compute_dtype == "bfloat16"
    assert by_name["head_dense"].compute_dtype == "float32"


def test_the_same_seed_gives_the_same_network():
    first, again = build_short("gelu", seed=3), build_short("gelu", seed=3)
    other = build_short("gelu", seed=4)
    for one, two in zip(first.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())
    kernel = "stage0_block0_dwconv/kernel"
    values = {w.path: w.numpy() for w in first.weights}
    assert any(
        (values[w.path] != w.numpy()).any() for w in other.weights if w.path == kernel
    )


def test_a_saved_step_comes_back_the_same(tmp_path):
    network = build_short("fewer_norms")
    network.save(tmp_path / "step.keras")
    again = keras.saving.load_model(tmp_path / "step.keras")
    batch = images(2, 16) * 50 + 120
    np.testing.assert_array_equal(again(batch), network(batch))
    assert json.loads(again.to_json()) == json.loads(network.to_json())


def test_only_the_last_step_has_weights_to_ask_for():
    with pytest.raises(ValueError, match=r"weights='imagenet': no weights are publi"):
        roadmap.build("width", weights="imagenet")


def test_everything_wrong_with_the_arguments_is_said_at_once():
    with pytest.raises(ValueError, match=r"height and width must be at least 32.*pool"):
        roadmap.build("gelu", input_shape=(16, 16, 3), pooling="sum", classes=0)
    with pytest.raises(ValueError, match="patch_size is 0"):
        roadmap.build("gelu", patch_size=0)
