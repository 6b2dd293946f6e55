"""Masked autoencoding: pre-training without labels, by FCMAE."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import keras
import numpy as np

from keras_convnext.pretraining.fcmae import FCMAE, patch_grid

from ..data.source import Source
from ..recipes.metric import METRICS
from ..recipes.recipe import Recipe
from ..report.outcome import Outcome
from . import backbones, batches, feature_probe
from .task import Evaluation, Measure, Probe, Rows, Task

if TYPE_CHECKING:
    import tensorflow as tf

    from ..data.pipeline import WorkerShard
    from ..data.unlabeled_source import UnlabeledSource

# What the variables of the layers are called that no classifier has.
_DECODER = ("decoder_", "fcmae_")


def load(data: str, recipe: Recipe, skip_bad_images: bool) -> UnlabeledSource:
    """Returns images, whose labels are left alone where they have any.

    Args:
        data: What `--data` says.
        recipe: Its size, patches, split and seed are used.
        skip_bad_images: Leave unreadable images out instead of refusing.

    Raises:
        DataError: The data cannot be used; says all that is wrong.
        ValueError: Images of that size have no such patches.
    """
    from ..data import unlabeled  # TensorFlow's decoders, which JAX does without

    rows, _ = patch_grid(
        recipe.variant, recipe.mask_ratio, _shape(recipe), recipe.patch_size
    )
    source = unlabeled.load(
        data,
        size_px=recipe.size_px,
        patch_px=recipe.size_px // rows,
        validation_share=recipe.validation_share,
        seed=recipe.seed,
        skip_bad_images=skip_bad_images,
    )
    return feature_probe.with_labeled(source, recipe, skip_bad_images)


def training_batches(
    source: Source, recipe: Recipe, share: WorkerShard, epoch: int, start_batch: int
) -> tf.data.Dataset:
    """Returns batches (images uint8, orders), as `UnlabeledSource.train` has them."""
    return batches.training_batches(
        source, recipe, share, epoch, start_batch, recipe.augmentation
    )


def build_training_model(recipe: Recipe, source: Source) -> keras.Model:
    """Builds the masked autoencoder that learns.

    Raises:
        ValueError: The recipe's fields make no model.
    """
    return _build(
        recipe,
        source,
        **backbones.starting_point(recipe),
        stochastic_depth_rate=recipe.stochastic_depth_rate,
        dtype=recipe.precision,
    )


def build_inference_model(
    recipe: Recipe, trained: keras.Model, source: Source
) -> keras.Model:
    """Builds a masked autoencoder in float32, of which `model.keras` holds the encoder.

    Args:
        recipe: The run's.
        trained: A model of `build_training_model`, whose weights it gets.
        source: The run's.
    """
    model = _build(recipe, source, backbone=recipe.variant, dtype="float32")
    return backbones.with_weights_of(trained, model)


def _build(recipe: Recipe, source: Source, **arguments: Any) -> FCMAE:
    return FCMAE(
        mask_ratio=recipe.mask_ratio,
        input_shape=_shape(recipe),
        preprocessing=source.preprocessing,
        seed=recipe.seed,
        **backbones.arguments(recipe),
        **arguments,
    )


def _shape(recipe: Recipe) -> tuple[int, int, int]:
    return recipe.size_px, recipe.size_px, 3


def encoder(recipe: Recipe, model: keras.Model) -> keras.Model:
    """Returns what is kept of a masked autoencoder: a network that gives features.

    They are the last map's mean over all positions, `(batch, channels)`, normalized by
    the last norm, which pre-training does not train and which is as it is built.

    Args:
        recipe: The run's.
        model: Of `build_inference_model`.
    """
    plain = _build_encoder(recipe, model)
    feature_probe.copy_weights(cast("FCMAE", model).encoder, plain)
    return plain


def _build_encoder(recipe: Recipe, model: keras.Model) -> keras.Model:
    return backbones.build_encoder(recipe, cast("FCMAE", model).preprocessing)


def make_probe(recipe: Recipe, source: Source, model: keras.Model) -> Probe:
    """Returns what measures the encoder's features on the labeled images.

    Args:
        recipe: The run's.
        source: The run's; nothing is measured where it has no labeled images.
        model: A masked autoencoder, whose weights of the moment are measured.
    """
    return feature_probe.of_encoder(
        lambda: _build_encoder(recipe, model),
        cast("FCMAE", model).encoder,
        cast("UnlabeledSource", source),
    )


def model_inputs(model: keras.Model, images: Any, truth: Any) -> Any:
    """Returns what a model of either kind is called with."""
    del model
    return {"image": images, "order": truth}


def is_head(path: str) -> bool:
    """Returns True if the variable of that path learns while the encoder is frozen."""
    return path.split("/")[-2].startswith(_DECODER)


def make_losses(recipe: Recipe, source: Source) -> Measure:
    """Returns a function from outputs and orders to "loss"."""
    del recipe
    return measure


def measure(outputs: Any, truth: Any) -> Rows:
    """Returns the loss of each image."""
    del truth
    return {"loss": outputs["loss"]}


def evaluate(rows: Iterable[Rows], source: Source) -> Evaluation:
    """Returns the mean loss; that of each image is its details."""
    del source
    losses = np.concatenate([np.asarray(part["loss"]) for part in rows])
    figures = {"loss": float(losses.mean())}
    return Evaluation(figures=figures, metrics=figures, details=losses)


def write_report(outcome: Outcome) -> None:
    """Writes the loss of each image, drawings and the page."""
    from ..report import pretraining_html  # it draws with TensorFlow

    pretraining_html.write(outcome)


MASKED_AUTOENCODING = Task(
    name="masked_autoencoding",
    metric=METRICS["masked_autoencoding"][0],
    load=load,
    training_batches=training_batches,
    validation_batches=batches.validation_batches,
    build_training_model=build_training_model,
    build_inference_model=build_inference_model,
    is_head=is_head,
    make_losses=make_losses,
    measure=measure,
    measure_inference=measure,
    evaluate=evaluate,
    write_report=write_report,
    model_inputs=model_inputs,
    saved_model=encoder,
    make_probe=make_probe,
)
