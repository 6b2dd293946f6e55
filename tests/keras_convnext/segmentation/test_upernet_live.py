"""UPerNet against others' with random weights, read and written under their names.

Logits, losses and gradients. Run by `make parity`. transformers' heads equal
mmsegmentation's.
"""

import dataclasses
import importlib
import importlib.util

import keras
import numpy as np
import pytest

import keras_convnext

if importlib.util.find_spec("torch") is None:
    pytest.skip("PyTorch is not installed: see make parity", allow_module_level=True)

import tensorflow as tf
import torch
from safetensors.torch import load_file, save_file

from tests.keras_convnext.reference.name_seeded import images, normalized_nchw
from tests.keras_convnext.reference.torch_models import SIZES, transformers_library
from training.recipes.table import RECIPES
from training.tasks.segmentation import make_losses

# Float32 over a hundred layers; the requirement is 2e-4 of the largest logit.
TOLERANCE = 2e-5
# Of a gradient's largest entry, in float64 but for the logits.
GRADIENT_TOLERANCE = 5e-6
# Neither a multiple of 32, so that every resize has another factor.
SHAPE = (2, 136, 200, 3)


def of_transformers(family, size):
    library = transformers_library()
    depths, widths = SIZES[size]
    config = {"convnext": "ConvNextConfig", "convnextv2": "ConvNextV2Config"}[family]
    backbone = getattr(library, config)(
        depths=list(depths),
        hidden_sizes=list(widths),
        out_features=[f"stage{number}" for number in (1, 2, 3, 4)],
    )
    return library.UperNetForSemanticSegmentation(
        library.UperNetConfig(
            backbone_config=backbone, num_labels=7, auxiliary_in_channels=widths[2]
        )
    )


def of_smp(size):
    """As smp-hub/upernet-convnext-tiny's configuration has it, without resizing."""
    if importlib.util.find_spec("segmentation_models_pytorch") is None:
        pytest.skip("segmentation-models-pytorch is not installed: see make parity")
    library = importlib.import_module("segmentation_models_pytorch")
    return library.UPerNet(
        f"tu-convnext_{size}",
        encoder_weights=None,
        decoder_channels=512,
        classes=7,
        upsampling=1,
    )


def filled(model):
    """The model with random weights and statistics, none near its neutral value."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if "layer_scale" in name or ".grn." in name or name.endswith(".gamma"):
                tensor.uniform_(0.2, 1.2)
            elif tensor.ndim == 1:
                tensor.add_(torch.empty_like(tensor).uniform_(-0.3, 0.3))
        for name, tensor in model.named_buffers():
            if name.endswith("running_mean"):
                tensor.normal_(0, 0.2)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
    return model.eval()


def assert_equal(logits, expected):
    expected = expected.numpy().transpose(0, 2, 3, 1)
    assert np.abs(logits - expected).max() < TOLERANCE * np.abs(expected).max()


def assert_loads_there(ours, theirs, path, dialect):
    """What is written under their names is what they had, tensor by tensor."""
    written = load_file(keras_convnext.save_weights_as(ours, path, dialect))
    for name, tensor in theirs.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(written.pop(name), tensor), name
    assert not written
    theirs.load_state_dict(load_file(path))


@pytest.mark.parametrize(
    ("family", "size"),
    [
        ("convnext", "tiny"),
        ("convnextv2", "atto"),
        pytest.param("convnext", "base", marks=pytest.mark.slow),
    ],
)
def test_logits_equal_those_of_transformers(family, size, tmp_path):
    theirs = filled(of_transformers(family, size))
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    ours = keras_convnext.UPerNet(f"{family}_{size}", 7, input_shape=(None, None, 3))
    report = keras_convnext.load_weights(ours, tmp_path / "model.safetensors")
    assert (report.dialect, report.kept) == ("huggingface", ())
    assert all(name.endswith("num_batches_tracked") for name in report.dropped)
    batch = images(SHAPE)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(normalized_nchw(batch))).logits
    assert_equal(ours.predict(batch, verbose=0), expected)
    assert_loads_there(ours, theirs, tmp_path / "back.safetensors", "huggingface")


def test_logits_equal_those_of_segmentation_models_pytorch(tmp_path):
    theirs = filled(of_smp("tiny"))
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    ours = keras_convnext.UPerNet(
        "convnext_tiny", 7, input_shape=(None, None, 3), auxiliary_head=False
    )
    report = keras_convnext.load_weights(ours, tmp_path / "model.safetensors")
    assert (report.dialect, report.kept) == ("smp", ())
    assert all(name.endswith("num_batches_tracked") for name in report.dropped)
    # They enlarge logits with aligned corners, and take multiples of 32 alone.
    at_stride_4 = keras.Model(ours.input, ours.get_layer("decode_logits").output)
    batch = images((2, 128, 192, 3))
    with torch.no_grad():
        expected = theirs(torch.from_numpy(normalized_nchw(batch)))
    assert_equal(at_stride_4.predict(batch, verbose=0), expected)
    assert_loads_there(ours, theirs, tmp_path / "back.safetensors", "smp")


@pytest.mark.parametrize("family", ["convnext", "convnextv2"])
def test_losses_and_gradients_of_training_equal_those_of_transformers(family, tmp_path):
    """With batch statistics, pixels without a label, and both heads' losses."""
    theirs = filled(of_transformers(family, "atto")).train()
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    ours = keras_convnext.UPerNet(
        f"{family}_atto",
        7,
        input_shape=(None, None, 3),
        dropout_rate=0.0,
        include_preprocessing=False,
        dtype="float64",
    )
    keras_convnext.load_weights(ours, tmp_path / "model.safetensors")
    pixels = normalized_nchw(images(SHAPE))
    labels = np.random.default_rng(2).integers(0, 7, SHAPE[:3])
    labels[:, :40] = 255

    expected = theirs.double()(
        torch.from_numpy(pixels).double(), labels=torch.from_numpy(labels)
    ).loss
    expected.backward()

    training = keras.Model(ours.input, [ours.output, ours.auxiliary])
    recipe = dataclasses.replace(RECIPES["upernet_tiny_ade20k"], loss_over="valid")
    losses_of = make_losses(recipe, None)
    with tf.GradientTape() as tape:
        losses = losses_of(
            training(pixels.transpose(0, 2, 3, 1), training=True), labels
        )
        loss = tf.reduce_mean(losses["loss"])
    np.testing.assert_allclose(loss, expected.item(), rtol=1e-5)
    gradients = tape.gradient(loss, [each.value for each in training.trainable_weights])
    # Written under their names as if they were weights, which turns their axes.
    for variable, gradient in zip(training.trainable_weights, gradients, strict=True):
        variable.assign(gradient)
    path = keras_convnext.save_weights_as(
        ours, tmp_path / "g.safetensors", "huggingface"
    )
    found = load_file(path)
    names = [name for name, each in theirs.named_parameters() if each.grad is not None]
    assert len(names) == len(training.trainable_weights)
    for name in names:
        gradient = theirs.get_parameter(name).grad
        # A constant on a whole map vanishes in batch normalization: 0, rounded.
        bound = GRADIENT_TOLERANCE * gradient.abs().max() + 1e-15
        assert (found[name] - gradient).abs().max() <= bound, name
