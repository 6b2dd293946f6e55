"""What must hold for every variant: it trains in both precisions, reloads and folds.

In the fast tests every variant runs narrow and shallow, in the slow ones as published
(the two above 400 million parameters at reduced depth).
"""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_convnext
from keras_convnext import kernels
from keras_convnext.models import build
from keras_convnext.variants import VARIANTS, StemConv
from tests.checks import check_keras_file, random_images, tiny_variant
from tests.keras_convnext.reference import name_seeded

HUGE = 400_000_000
FEW = (1, 1, 2, 1)
CLASSES = 10
SIDE_PX = 64


def narrow(variant):
    """Returns the variant with one narrow block a stage."""
    return tiny_variant(
        variant.name,
        name="narrow",
        parameters=0,
        source="",
        depths=(1,) * len(variant.depths),
        stem=tuple(
            replace(part, width=part.width and 4)
            if isinstance(part, StemConv)
            else part
            for part in variant.stem
        ),
    )


def narrow_ones():
    """Returns the names of the variants that are equal when narrow, by what they are.

    Variants that differ in nothing but depth and width are one there.
    """
    groups = {}
    for name, variant in VARIANTS.items():
        groups.setdefault(narrow(variant), []).append(name)
    return groups


def published(variant):
    return replace(variant, depths=FEW) if variant.parameters > HUGE else variant


def number_of_variables(variant):
    """Counts kernels, biases, gammas and betas from the row."""
    norm = 2 if variant.norm == "layer" else 1
    convolution = dense = 2
    block = convolution + norm + 2 * dense
    block += 2 if variant.grn else 0
    block += 0 if variant.layer_scale_init_value is None else 1
    stem = {"norm": norm, "gelu": 0}
    return (
        sum(stem.get(part, convolution) for part in variant.stem)
        + sum(variant.depths) * block
        + (len(variant.depths) - 1) * (norm + convolution)
        + norm
        + (dense if "hidden" in variant.head else 0)
        + dense
    )


def batch():
    return tf.constant(random_images(2, SIDE_PX)), tf.constant([1, 7])


def check_step(variant, precision):
    """Takes one training step, checks each parameter's gradient, returns the model."""
    model = build(
        variant, input_shape=(SIDE_PX, SIDE_PX, 3), classes=CLASSES, dtype=precision
    )
    variables = model.trainable_variables
    names = [v.path for v in variables]
    assert len(names) == len(set(names)) == number_of_variables(variant)
    assert {v.dtype for v in variables} == {"float32"}
    images, labels = batch()
    with tf.GradientTape() as tape:
        scores = model(images, training=True)
        losses = keras.losses.sparse_categorical_crossentropy(labels, scores)
        loss = tf.reduce_mean(losses)
    gradients = tape.gradient(loss, [v.value for v in variables])
    without = [
        name
        for name, gradient in zip(names, gradients, strict=True)
        if gradient is None
        or not np.isfinite(gradient.numpy()).all()
        or not gradient.numpy().any()
    ]
    assert without == []
    before = model(images).numpy()
    keras.optimizers.SGD(0.1).apply(gradients, variables)
    after = model(images).numpy()
    assert np.isfinite(after).all()
    assert (after != before).all()
    return model


def check_fold(model):
    name_seeded.fill_keras(model)  # so that every branch and every norm counts
    images, _ = batch()
    expected = model(images).numpy()
    folded = keras_convnext.fold(model)(images).numpy()
    # Products of float32 weights in place of float32 weights.
    np.testing.assert_allclose(folded, expected, atol=1e-4 * expected.max())


@pytest.mark.parametrize(
    "precision", ["float32", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    "variant",
    [pytest.param(row, id="+".join(names)) for row, names in narrow_ones().items()],
)
def test_narrow_variant_trains_reloads_and_folds(
    variant, precision, tmp_path, monkeypatch
):
    if not (variant.grn and precision == "float32"):
        # XLA makes a program for every shape, in seconds. V2 has each kind of them; all
        # variants have them in the slow test.
        monkeypatch.setattr(kernels.support, "can_compile", lambda *_: False)
    model = check_step(variant, precision)
    if precision == "float32":  # the file is the same in both
        check_keras_file(model, batch()[0], tmp_path)
        check_fold(model)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("name", VARIANTS)
def test_variant_as_published_trains_reloads_and_folds(name, precision, tmp_path):
    model = check_step(published(VARIANTS[name]), precision)
    if precision == "float32":  # the file is the same in both
        check_keras_file(model, batch()[0], tmp_path)
        check_fold(model)
