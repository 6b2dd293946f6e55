"""UPerNet stands on every variant with four stages.

As published, or at reduced depth where that is large: test_upernet.py counts those.
"""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_convnext
from keras_convnext.segmentation import UPerNet
from keras_convnext.variants import VARIANTS
from tests.checks import random_images

pytestmark = pytest.mark.slow

CLASSES, CHANNELS = 3, 16
SHAPE = (64, 96, 3)
LARGE = 40_000_000
FOUR_STAGES = [name for name, row in VARIANTS.items() if len(row.depths) == 4]


def parameters_of_heads(widths):
    """Counts both heads' parameters: convolutions without bias, each with a norm."""

    def convolution(inputs, outputs, side):
        return inputs * outputs * side**2 + 2 * outputs

    pooled = 4 * convolution(widths[3], CHANNELS, 1)
    bottleneck = convolution(widths[3] + 4 * CHANNELS, CHANNELS, 3)
    laterals = sum(convolution(width, CHANNELS, 1) for width in widths[:3])
    smoothed = 3 * convolution(CHANNELS, CHANNELS, 3)
    fused = convolution(4 * CHANNELS, CHANNELS, 3)
    auxiliary = convolution(widths[2], CHANNELS // 2, 3)
    logits = (CHANNELS + 1) * CLASSES + (CHANNELS // 2 + 1) * CLASSES
    return pooled + bottleneck + laterals + smoothed + fused + auxiliary + logits


def parameters_of(variant):
    """Counts from the published number: the classifier's head goes, norms come."""
    width = variant.widths[-1]
    norm = 2 if variant.norm == "layer" else 1
    hidden = width * (width + 1) if "hidden" in variant.head else 0
    backbone = variant.parameters - 1000 * (width + 1) - norm * width - hidden
    # Layer norms, whatever the backbone's own are.
    norms = 2 * sum(variant.widths)
    return backbone + norms + parameters_of_heads(variant.widths)


@pytest.mark.parametrize("name", FOUR_STAGES)
def test_it_trains_and_folds_on(name, monkeypatch):
    variant = VARIANTS[name]
    is_large = variant.parameters > LARGE
    if is_large:
        monkeypatch.setitem(VARIANTS, name, replace(variant, depths=(1, 1, 2, 1)))
    model = UPerNet(name, CLASSES, input_shape=SHAPE, head_channels=CHANNELS, seed=0)
    training = keras.Model(model.input, [model.output, model.auxiliary])
    variables = training.trainable_variables
    if not is_large:
        counted = sum(int(np.prod(each.shape)) for each in variables)
        assert counted == parameters_of(variant)

    images = random_images(2, 96)[:, :64]
    labels = np.random.default_rng(1).integers(0, CLASSES, (2, *SHAPE[:2]))
    with tf.GradientTape() as tape:
        loss = sum(
            tf.reduce_mean(
                keras.losses.sparse_categorical_crossentropy(
                    labels, logits, from_logits=True
                )
            )
            for logits in training(images, training=True)
        )
    gradients = tape.gradient(loss, [each.value for each in variables])
    for variable, gradient in zip(variables, gradients, strict=True):
        assert np.isfinite(gradient).all(), variable.path
    keras.optimizers.SGD(0.01).apply(gradients, variables)

    random = np.random.default_rng(2)
    for variable in model.weights:
        if variable.name in ("gamma", "beta", "bias", "moving_mean", "moving_variance"):
            variable.assign(random.uniform(0.3, 1.0, variable.shape))
    expected = model.predict(images, verbose=0)
    assert expected.shape == (2, 64, 96, CLASSES)
    assert np.isfinite(expected).all()
    found = keras_convnext.fold(model).predict(images, verbose=0)
    # Float32: products of weights in place of weights.
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
