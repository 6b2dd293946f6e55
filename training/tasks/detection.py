"""Detection: where the objects of an image are, of what class, and of what shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import keras
from keras import ops

import keras_convnext
from keras_convnext.detection import (
    TrainingSettings,
    detection_losses,
    training_model,
    training_settings,
)
from keras_convnext.detection.training import without_truth

from ..data.source import Source
from ..recipes.metric import METRICS
from ..recipes.recipe import Recipe
from ..report.outcome import Outcome
from . import backbones, batches
from .task import Evaluation, Measure, Rows, Task

if TYPE_CHECKING:
    import tensorflow as tf

    from ..data.box_source import BoxSource
    from ..data.pipeline import WorkerShard

# What the variables of the layers are called that no classifier has.
_HEADS = ("pyramid_norm_", "fpn_", "rpn_", "box", "mask")


def load(data: str, recipe: Recipe, skip_bad_images: bool) -> BoxSource:
    """Returns images with boxes, and masks where the data have them.

    Args:
        data: What `--data` says.
        recipe: Its size, split and seed are used.
        skip_bad_images: Leave unreadable images out instead of refusing.

    Raises:
        DataError: The data cannot be used; says all that is wrong.
    """
    from ..data import DataError, boxes  # TensorFlow's decoders, which JAX does without

    source = boxes.load(
        data,
        size_px=recipe.size_px,
        validation_share=recipe.validation_share,
        seed=recipe.seed,
        skip_bad_images=skip_bad_images,
    )
    images = source.validation.described()
    if all(one.is_crowd for image in images for one in image.objects):
        raise DataError(
            f"{data}: no validation image has an object (crowds do not count), so that "
            "no epoch can be measured. Give other images for validation; where they "
            "are drawn, --set validation_share= draws more, --set seed= others."
        )
    named = recipe.best_metric or ""
    if named.startswith("val_mask_") and not source.has_masks:
        raise DataError(
            f"{data}: best_metric={named} is of masks, and the objects have boxes alone"
        )
    return source


def training_batches(
    source: Source, recipe: Recipe, share: WorkerShard, epoch: int, start_batch: int
) -> tf.data.Dataset:
    """Returns batches (images uint8, truth), as `BoxSource.train` has them."""
    return batches.training_batches(
        source, recipe, share, epoch, start_batch, recipe.box_augmentation
    )


def build_training_model(recipe: Recipe, source: Source) -> keras.Model:
    """Builds the model that learns; it is told the truth of the images.

    Raises:
        ValueError: The recipe's fields make no model.
    """
    return training_model(
        recipe.detector,
        settings=_settings(recipe),
        stochastic_depth_rate=recipe.stochastic_depth_rate,
        dtype=recipe.precision,
        **backbones.starting_point(recipe),
        **_arguments(recipe, source),
    )


def build_inference_model(
    recipe: Recipe, trained: keras.Model, source: Source
) -> keras.Model:
    """Builds the detector that `model.keras` holds, float32, from an image alone.

    Args:
        recipe: The run's.
        trained: A model of `build_training_model`, whose weights it gets.
        source: The run's.
    """
    model = keras_convnext.create(
        f"{recipe.detector}_{recipe.variant}",
        weights=None,
        dtype="float32",
        **_arguments(recipe, source),
    )
    return backbones.with_weights_of(trained, model)


def _settings(recipe: Recipe) -> TrainingSettings:
    return training_settings(
        recipe.detector,
        proposals=recipe.training_proposals,
        box_samples=recipe.sampled_boxes,
    )


def _arguments(recipe: Recipe, source: Source) -> dict[str, Any]:
    """Returns what both models are built with."""
    return {
        "classes": len(source.classes),
        "masks": source.has_masks,  # type: ignore[attr-defined]
        "channels": recipe.pyramid_channels,
        "units": recipe.head_units,
        "preprocessing": source.preprocessing,
        "seed": recipe.seed,
        **backbones.arguments(recipe),
    }


def model_inputs(model: keras.Model, images: Any, truth: Mapping[str, Any]) -> Any:
    """Returns what a model of either kind is called with."""
    if not isinstance(model.input, Mapping):
        return images
    names = set(model.input) - {"image"}
    if names <= set(truth):
        return {"image": images, **{name: truth[name] for name in names}}
    return without_truth(images, truth["size"], "masks" in names)


def is_head(path: str) -> bool:
    """Returns True if the variable of that path learns while the backbone is frozen.

    All that no classifier's weights have.
    """
    return path.split("/")[-2].startswith(_HEADS)


def make_losses(recipe: Recipe, source: Source) -> Measure:
    """Returns a function from outputs and truth to "loss" and its parts."""
    settings = _settings(recipe)

    def losses_of(outputs: Any, truth: Any) -> Rows:
        return detection_losses(outputs, settings)

    return losses_of


def measure(outputs: Any, truth: Mapping[str, Any]) -> Rows:
    """Returns the objects that were found, in pixels of the image's own size."""
    factor = ops.cast(truth["shape"], "float32") / ops.cast(truth["size"], "float32")
    factor = ops.tile(factor, (1, 2))[:, None, :]
    kept = ("scores", "classes", "count", "masks")
    return {
        "number": truth["number"],
        "boxes": outputs["boxes"] * factor,
        **{name: outputs[name] for name in kept if name in outputs},
    }


def evaluate(rows: Iterable[Rows], source: Source) -> Evaluation:
    """Returns COCO's figures of boxes, and of masks where there are any."""
    from ..evaluation.coco_metrics import sum_up

    results = sum_up(rows, cast("BoxSource", source))
    return Evaluation(figures=results.figures, metrics=results.figures, details=results)


def write_report(outcome: Outcome) -> None:
    """Writes figures, drawings and the page."""
    from ..report import detection_html  # it draws with TensorFlow

    detection_html.write(outcome)


DETECTION = Task(
    name="detection",
    metric=METRICS["detection"][0],
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
    evaluates_singly=True,
    model_inputs=model_inputs,
)
