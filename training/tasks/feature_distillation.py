"""Distillation of features: a small network learns a frozen one's, without labels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import keras

from ..data.source import Source
from ..recipes.metric import METRICS
from ..recipes.recipe import Recipe
from ..report.outcome import Outcome
from . import backbones, classification, feature_probe
from .distillation import PROJECTION, add_projection, feature_loss
from .masked_autoencoding import MASKED_AUTOENCODING
from .task import Measure, Probe, Rows, images_alone

if TYPE_CHECKING:
    from ..data.unlabeled_source import UnlabeledSource


def load(data: str, recipe: Recipe, skip_bad_images: bool) -> UnlabeledSource:
    """Returns images, whose labels are left alone where they have any.

    Args:
        data: What `--data` says.
        recipe: Its size, split and seed are used.
        skip_bad_images: Leave unreadable images out instead of refusing.

    Raises:
        DataError: The data cannot be used; says all that is wrong.
    """
    from ..data import unlabeled  # TensorFlow's decoders, which JAX does without

    source = unlabeled.load(
        data,
        size_px=recipe.size_px,
        patch_px=recipe.size_px,  # One patch, whose order nobody asks for.
        validation_share=recipe.validation_share,
        seed=recipe.seed,
        skip_bad_images=skip_bad_images,
    )
    return feature_probe.with_labeled(source, recipe, skip_bad_images)


def build_training_model(recipe: Recipe, source: Source) -> keras.Model:
    """Builds the encoder that learns, without a layer to the teacher's features.

    That layer is `distillation.learn_from`'s: its width is the teacher's.

    Raises:
        ValueError: The recipe's fields make no model.
    """
    return backbones.build_encoder(
        recipe,
        source.preprocessing,
        weights=recipe.weights,
        stochastic_depth_rate=recipe.stochastic_depth_rate,
        dtype=recipe.precision,
    )


def build_inference_model(
    recipe: Recipe, trained: keras.Model, source: Source
) -> keras.Model:
    """Builds the encoder and its projection in float32.

    `model.keras` holds the encoder.

    Args:
        recipe: The run's.
        trained: The model that has learned, whose weights it gets.
        source: The run's.
    """
    encoder = backbones.build_encoder(recipe, source.preprocessing)
    channels = trained.output_shape[-1]
    model = add_projection(encoder, encoder.output, channels, recipe.seed)
    return backbones.with_weights_of(trained, model)


def encoder(recipe: Recipe, model: keras.Model) -> keras.Model:
    """Returns what is kept: the network up to its own features, `(batch, channels)`.

    Args:
        recipe: The run's.
        model: Of `build_inference_model`.
    """
    del recipe
    features = model.get_layer(PROJECTION).input
    return keras.Model(model.input, features, name=model.name)


def make_probe(recipe: Recipe, source: Source, model: keras.Model) -> Probe:
    """Returns what measures the encoder's features on the labeled images.

    Args:
        recipe: The run's.
        source: The run's; nothing is measured where it has no labeled images.
        model: Of either kind, whose weights of the moment are measured.
    """
    return feature_probe.of_encoder(
        lambda: backbones.build_encoder(recipe, source.preprocessing),
        model,
        cast("UnlabeledSource", source),
    )


def make_losses(recipe: Recipe, source: Source) -> Measure:
    """Returns a function from projections and the teacher's features to "loss"."""

    def losses_of(projected: Any, truth: Any) -> Rows:
        _, teacher_features = truth
        return {"loss": feature_loss(teacher_features, projected)}

    return losses_of


def measure(outputs: Any, truth: Any) -> Rows:
    """Returns the loss of each image, from the student's outputs and the teacher's."""
    del truth
    projected, teacher_features = outputs
    return {"loss": feature_loss(teacher_features, projected)}


def write_report(outcome: Outcome) -> None:
    """Writes the loss of each image, drawings and the page."""
    from ..report import distillation_html  # it reads images with TensorFlow

    distillation_html.write(outcome)


FEATURE_DISTILLATION = replace(
    MASKED_AUTOENCODING,
    name="feature_distillation",
    metric=METRICS["feature_distillation"][0],
    load=load,
    build_training_model=build_training_model,
    build_inference_model=build_inference_model,
    is_head=classification.is_head,
    make_losses=make_losses,
    measure=measure,
    measure_inference=measure,
    write_report=write_report,
    model_inputs=images_alone,
    saved_model=encoder,
    make_probe=make_probe,
)
