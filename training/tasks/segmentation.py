"""Segmentation: each pixel of an image has one label, or none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

import keras_convnext
from keras_convnext.segmentation.resizing import ResizeLike

from ..data.source import Source
from ..evaluation.label_maps import sum_up
from ..recipes.metric import METRICS
from ..recipes.recipe import Recipe
from ..report.outcome import Outcome
from . import backbones, batches, pixel_losses
from .losses import log_probabilities
from .task import Evaluation, Measure, Rows, Task

if TYPE_CHECKING:
    import tensorflow as tf

    from ..data.mask_source import MaskSource
    from ..data.pipeline import WorkerShard

# What the variables of the layers are called that no classifier has.
_HEADS = ("decode_", "auxiliary_", "pyramid_norm_")


def load(data: str, recipe: Recipe, skip_bad_images: bool) -> MaskSource:
    """Returns images with masks.

    Args:
        data: What `--data` says.
        recipe: Its size, split, seed and `reduce_zero_label` are used.
        skip_bad_images: Leave unreadable images out instead of refusing.

    Raises:
        DataError: The data cannot be used; says all that is wrong.
    """
    from ..data import masks  # TensorFlow's decoders, which JAX does without

    return masks.load(
        data,
        size_px=recipe.size_px,
        validation_share=recipe.validation_share,
        seed=recipe.seed,
        skip_bad_images=skip_bad_images,
        reduce_zero_label=recipe.reduce_zero_label,
    )


def training_batches(
    source: Source, recipe: Recipe, share: WorkerShard, epoch: int, start_batch: int
) -> tf.data.Dataset:
    """Returns batches (images uint8, masks), as `MaskSource.train` has them."""
    return batches.training_batches(
        source, recipe, share, epoch, start_batch, recipe.mask_augmentation
    )


def build_training_model(recipe: Recipe, source: Source) -> keras.Model:
    """Builds the model that learns: logits of the decoder and of the auxiliary head.

    It takes images of any size: crops in training, whole images in evaluation.

    Raises:
        ValueError: The recipe's fields make no model.
    """
    model = _build(
        recipe,
        len(source.classes),
        source,
        **backbones.starting_point(recipe),
        stochastic_depth_rate=recipe.stochastic_depth_rate,
        dropout_rate=recipe.dropout_rate,
        dtype=recipe.precision,
    )
    return keras.Model(model.input, [model.output, model.auxiliary], name=model.name)


def build_inference_model(
    recipe: Recipe, trained: keras.Model, source: Source
) -> keras.Model:
    """Builds the model that `model.keras` holds.

    Probabilities instead of logits, float32 whatever the training's precision,
    and nothing in it that is only for training.

    Args:
        recipe: The run's.
        trained: A model of `build_training_model`, whose weights it gets.
        source: The run's.
    """
    model = _build(
        recipe,
        trained.outputs[0].shape[-1],
        source,
        backbone=recipe.variant,
        auxiliary_head=False,
        classifier_activation="softmax",
        dtype="float32",
    )
    return backbones.with_weights_of(trained, model)


def _build(
    recipe: Recipe, classes: int, source: Source, **arguments: Any
) -> keras.Model:
    return keras_convnext.UPerNet(
        classes=classes,
        input_shape=(None, None, 3),
        head_channels=recipe.head_channels,
        preprocessing=source.preprocessing,
        seed=recipe.seed,
        **backbones.arguments(recipe),
        **arguments,
    )


def is_head(path: str) -> bool:
    """Returns True if the variable of that path learns while the backbone is frozen.

    Both heads and the norms before them, which no classifier's weights have.
    """
    return path.split("/")[-2].startswith(_HEADS)


def make_losses(recipe: Recipe, source: Source) -> Measure:
    """Returns a function from logits and masks to "loss" and what else is shown.

    Args:
        recipe: Its `auxiliary_weight` and `loss_over` are used.
        source: The run's.
    """

    def losses_of(outputs: Any, masks: Any) -> Rows:
        logits, auxiliary_logits = outputs
        losses, valid = pixel_losses.cross_entropies(masks, logits)
        others, _ = pixel_losses.cross_entropies(masks, auxiliary_logits)
        main, auxiliary = (
            pixel_losses.mean_over(recipe.loss_over, each, valid)
            for each in (losses, others)
        )
        return {
            "loss": main + recipe.auxiliary_weight * auxiliary,
            "auxiliary_loss": auxiliary,
            "aacc": pixel_losses.pixel_accuracy(masks, logits, valid),
        }

    return losses_of


def measure(outputs: Any, masks: Any) -> Rows:
    """Returns what `evaluate` needs, of both heads' logits."""
    return _rows(outputs[0], masks)


def measure_inference(outputs: Any, masks: Any) -> Rows:
    """Returns what `evaluate` needs, of probabilities `(batch, h, w, classes)`."""
    return _rows(log_probabilities(outputs), masks)


def _rows(logits: Any, masks: Any) -> Rows:
    """Returns each image's counted pixels and loss, at the size of its mask."""
    logits = ops.cast(logits, "float32")
    logits = ResizeLike(dtype="float32")(logits, ops.expand_dims(masks, -1))
    losses, _ = pixel_losses.cross_entropies(masks, logits)
    return {
        "counts": pixel_losses.count_pixels(masks, logits),
        "losses": ops.sum(losses, axis=(1, 2)),
    }


def evaluate(rows: Iterable[Rows], source: Source) -> Evaluation:
    """Returns mIoU, accuracies and loss; the counted pixels are its details."""
    results = sum_up(rows, len(source.classes))
    scores = results.scores
    figures = {
        "loss": results.loss or 0.0,
        "miou": scores.mean_iou,
        "macc": scores.mean_accuracy,
        "aacc": scores.pixel_accuracy,
    }
    return Evaluation(figures=figures, metrics=figures, details=results)


def write_report(outcome: Outcome) -> None:
    """Writes a row for each class and each image, drawings and the page."""
    from ..report import segmentation_html  # it draws with TensorFlow

    segmentation_html.write(outcome)


SEGMENTATION = Task(
    name="segmentation",
    metric=METRICS["segmentation"][0],
    load=load,
    training_batches=training_batches,
    validation_batches=batches.validation_batches,
    build_training_model=build_training_model,
    build_inference_model=build_inference_model,
    is_head=is_head,
    make_losses=make_losses,
    measure=measure,
    measure_inference=measure_inference,
    evaluate=evaluate,
    write_report=write_report,
    evaluates_singly=True,
)
