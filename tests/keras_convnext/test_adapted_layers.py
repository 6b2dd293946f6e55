"""Layers that Keras' LoRA or its quantization has changed, folded, written and loaded.

Keras computes what LoRA adds beside the kernel when it calls a layer, so a model's own
answers are what its merged kernels have to give.
"""

import warnings

import keras
import numpy as np
import pytest

import keras_convnext
from keras_convnext import hub
from keras_convnext.merged_weights import merged_values
from keras_convnext.models import build
from tests.checks import tiny_variant

IMAGES = np.random.default_rng(1).uniform(0, 255, (2, 32, 32, 3))
# Keras multiplies LoRA's matrices in float32 (6e-8), on outputs of order one.
EXACT = 1e-6
SHAPE = (32, 32, 3)


def small(dtype="float64", **arguments):
    row = tiny_variant(depths=(1, 1, 1, 1), layer_scale_init_value=0.5)
    return build(row, input_shape=SHAPE, classes=3, seed=0, dtype=dtype, **arguments)


def learn(layer, seed=0):
    """Gives a layer LoRA of rank 2 with numbers that change its answers."""
    layer.enable_lora(2)
    generator = np.random.default_rng(seed)
    for variable in layer.weights:
        if variable.name.startswith("lora_"):
            variable.assign(generator.normal(0, 0.3, variable.shape))


def adapted(endings, **arguments):
    model = small(**arguments)
    for seed, layer in enumerate(model.layers):
        if layer.name.endswith(endings):
            learn(layer, seed)
    return model


def answers(model):
    return keras.ops.convert_to_numpy(model(IMAGES))


@pytest.mark.parametrize(
    "endings", [("_expand", "_project"), ("_conv",), ("head_dense",)], ids=str
)
def test_what_lora_has_learnt_is_folded(endings):
    model = adapted(endings)
    assert np.abs(answers(model) - answers(small())).max() > 1e-3
    folded = keras_convnext.fold(model)
    assert not any("lora" in variable.path for variable in folded.weights)
    np.testing.assert_allclose(answers(folded), answers(model), atol=EXACT)


def test_lora_of_a_backbone_inside_of_a_model_is_folded():
    backbone = adapted("_expand", include_top=False, pooling="avg")
    head = keras.layers.Dense(3, dtype="float64")
    image = keras.Input(SHAPE, dtype="float64")
    nested = keras.Model(image, head(backbone(image)))
    learn(head)
    sequential = keras.Sequential([image, backbone, head])
    for model in (nested, sequential):
        folded = keras_convnext.fold(model)
        np.testing.assert_allclose(answers(folded), answers(model), atol=EXACT)


def layers_with_lora():
    """Every layer of Keras that can have LoRA, its input, and where the LoRA is."""
    layers = keras.layers
    numbers, image = keras.Input((6, 4)), keras.Input((8, 8, 4))
    yield layers.Dense(5), numbers, None
    yield layers.EinsumDense("abc,cd->abd", (None, 5)), numbers, None
    yield layers.Conv1D(5, 3), numbers, None
    yield layers.Conv2D(5, 3, padding="same"), image, None
    yield layers.Conv3D(5, 2), keras.Input((4, 4, 4, 2)), None
    yield layers.Embedding(7, 4), keras.Input((6,), dtype="int32"), None
    yield layers.TimeDistributed(layers.Dense(5)), numbers, lambda x: x.layer
    attention = layers.MultiHeadAttention(2, 3)
    yield lambda x: attention(x, x), numbers, lambda _: attention.query_dense


@pytest.mark.parametrize("index", range(8))
def test_every_layer_that_can_have_lora_is_folded_with_it(index):
    layer, inputs, place = list(layers_with_lora())[index]
    model = keras.Model(inputs, layer(inputs))
    learn(place(layer) if place else layer)
    x = np.random.default_rng(0).integers(0, 7, (2, *inputs.shape[1:]))
    # float32 rounding of numbers of order ten.
    np.testing.assert_allclose(keras_convnext.fold(model)(x), model(x), atol=1e-4)


def test_merging_does_not_round_to_the_precision_that_is_computed_in():
    layer = keras.layers.Dense(3, dtype="mixed_bfloat16")
    layer.build((None, 4))
    layer.enable_lora(2, lora_alpha=6)
    down, up = (np.random.default_rng(0).normal(size=s) for s in ((4, 2), (2, 3)))
    before = np.asarray(layer.get_weights()[0])
    layer.lora_kernel_a.assign(down)
    layer.lora_kernel_b.assign(up)
    kernel, bias = merged_values(layer)
    wanted = before + 3.0 * down.astype(np.float32) @ up.astype(np.float32)
    # bfloat16 would be off by 1e-2; this is float32's rounding.
    np.testing.assert_allclose(kernel, wanted, atol=1e-6)
    assert bias.shape == (3,)


@pytest.mark.parametrize("dialect", ["timm", "huggingface", "keras_convnext"])
def test_what_lora_has_learnt_is_written(dialect, tmp_path):
    model = adapted(("_expand", "_project", "head_dense"), dtype="float32")
    path = tmp_path / "merged.safetensors"
    keras_convnext.save_weights_as(model, path, dialect)
    plain = small("float32")
    keras_convnext.load_weights(plain, path)
    np.testing.assert_allclose(answers(plain), answers(model), atol=1e-6)


def test_what_lora_has_learnt_goes_to_the_hub(tmp_path):
    model = keras_convnext.create("convnext_atto", classes=3, input_shape=SHAPE)
    learn(model.get_layer("head_dense"))
    hub.write(
        model,
        tmp_path,
        variant="convnext_atto",
        labels=["a", "b", "c"],
        license="mit",
    )
    again = hub.read(tmp_path)
    np.testing.assert_allclose(answers(again), answers(model), atol=1e-5)


def test_weights_go_below_a_fresh_lora_and_not_below_one_that_has_learnt(tmp_path):
    path = tmp_path / "plain.safetensors"
    keras_convnext.save_weights_as(adapted("_expand", dtype="float32"), path)
    fresh = small("float32")
    for layer in fresh.layers:
        if layer.name.endswith("_expand"):
            layer.enable_lora(2)
    keras_convnext.load_weights(fresh, path)
    learnt = adapted("_expand", dtype="float32")
    np.testing.assert_allclose(answers(fresh), answers(learnt), atol=1e-6)
    with pytest.raises(ValueError, match="LoRA has learnt something for stage0_block0"):
        keras_convnext.load_weights(learnt, path)


@pytest.mark.parametrize("mode", ["int8", "int4"])
@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
@pytest.mark.slow
def test_quantized_layers_are_refused_by_name(mode, nested, tmp_path):
    model = small("float32")
    if nested:
        image = keras.Input(SHAPE)
        model = keras.Model(image, model(image))
    path = tmp_path / "float.safetensors"
    keras_convnext.save_weights_as(model, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.quantize(mode)
    said = rf"'stage0_block0_expand' of .* is quantized \({mode}"
    for act in (
        keras_convnext.fold,
        lambda one: keras_convnext.save_weights_as(one, tmp_path / "x.npz", "timm"),
        lambda one: keras_convnext.load_weights(one, path),
    ):
        with pytest.raises(ValueError, match=said):
            act(model)
    assert not (tmp_path / "x.npz").exists()
