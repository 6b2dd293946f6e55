"""What a kind of work supplies: the one thing that a run does not know by itself.

The loop, its distribution, accumulation, the moving average, checkpoints, exact resume
and watching are written once, in `engine`, and know no task. A task is a value of
functions. Those that compute with tensors are written with `keras.ops`, so that one
text serves TensorFlow and JAX.

Three words are used for all tasks. The truth is what is joined to an image: a label, a
mask, boxes, or nothing, as any nest of tensors whose first axis is the batch. Outputs
are what a model gives for a batch of images, any nest too: logits, and those of an
auxiliary head. Rows are a mapping of names to tensors whose first axis is the batch:
what is to be known of each example, small enough to be gathered from all devices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras

from ..data.source import Source
from ..recipes.metric import Metric
from ..recipes.recipe import Recipe
from ..report.outcome import Outcome

if TYPE_CHECKING:
    import tensorflow as tf

    from ..data.pipeline import WorkerShard

Rows = dict[str, Any]
# From outputs and truth to rows.
Measure = Callable[[Any, Any], Rows]
# From what is called where a run may stop to figures of the weights of the moment.
Probe = Callable[[Callable[[], None]], Mapping[str, float]]
# From model, images and truth to what the model is called with.
ModelInputs = Callable[[keras.Model, Any, Any], Any]


def images_alone(model: keras.Model, images: Any, truth: Any) -> Any:
    """Returns what most models are called with."""
    return images


def whole_model(recipe: Recipe, model: keras.Model) -> keras.Model:
    """Returns an inference model as it is."""
    return model


def model_itself(model: keras.Model) -> keras.Model:
    """Returns what most models are evaluated as."""
    return model


def no_probe(recipe: Recipe, source: Source, model: keras.Model) -> Probe:
    """Measures nothing: most tasks know all of an epoch from their evaluation."""
    return lambda check: {}


@dataclass(frozen=True)
class Evaluation:
    """Results of a model on the validation examples.

    Attributes:
        figures: What an epoch's logs hold, without the "val_" before each name.
        metrics: What metrics.json holds.
        details: What the task's own report needs: predictions, a histogram, boxes.
    """

    figures: Mapping[str, float]
    metrics: Mapping[str, float]
    details: Any


@dataclass(frozen=True)
class Task:
    """A kind of work.

    Attributes:
        name: Key in `TASKS`, and what a recipe's `task` says.
        metric: What decides the best epoch.
        load: From what `--data` says, a recipe, and whether unreadable images are left
            out, to the data. Raises DataError where they cannot be used.
        training_batches: From source, recipe, share, epoch and first batch to one epoch
            of batches (images, truth), image and truth changed alike. The same
            arguments give the same batches: resuming is exact by that.
        validation_batches: From source, recipe and share to batches (images, truth,
            weights) of every validation example once; weight 0 is padding.
        build_training_model: From recipe and source to the model that learns, float32
            images `(batch, height, width, 3)` in 0..255 to outputs. May raise
            ValueError.
        build_inference_model: From recipe, trained model and source to the model that
            is evaluated at the end and, as far as `saved_model` says, kept.
        is_head: From a variable's path to whether it learns while the rest is frozen.
        make_losses: From recipe and source to a function of outputs and truth; its rows
            have "loss", whose mean over a batch is made small, and what else is shown
            of training, each `(batch,)`.
        measure: From the training model's outputs and the truth to the rows that
            `evaluate` needs.
        measure_inference: The same for the inference model's.
        evaluate: From the rows of the validation examples, NumPy arrays of some
            examples at a time, to an evaluation. Large sets are summed up on the way.
        write_report: Writes what shows a finished run into its workdir, beside model
            and metrics.json.
        evaluates_singly: Whether validation examples differ in size, so that a device
            takes one at a time.
        model_inputs: From a model of either kind, images and truth to what it is called
            with: a detector that learns is told where the objects are.
        evaluated_model: From a model of either kind to what is asked for the outputs
            that are measured: one that also gives what a teacher makes of the images.
        saved_model: From recipe and inference model to what `model.keras` holds of it.
        make_probe: From recipe, source and a model of either kind to what measures it
            after some epochs alone, beside its evaluation.
    """

    name: str
    metric: Metric
    load: Callable[[str, Recipe, bool], Source]
    training_batches: Callable[[Source, Recipe, WorkerShard, int, int], tf.data.Dataset]
    validation_batches: Callable[[Source, Recipe, WorkerShard], tf.data.Dataset]
    build_training_model: Callable[[Recipe, Source], keras.Model]
    build_inference_model: Callable[[Recipe, keras.Model, Source], keras.Model]
    is_head: Callable[[str], bool]
    make_losses: Callable[[Recipe, Source], Measure]
    measure: Measure
    measure_inference: Measure
    evaluate: Callable[[Iterable[Rows], Source], Evaluation]
    write_report: Callable[[Outcome], None]
    evaluates_singly: bool = False
    model_inputs: ModelInputs = images_alone
    evaluated_model: Callable[[keras.Model], keras.Model] = model_itself
    saved_model: Callable[[Recipe, keras.Model], keras.Model] = whole_model
    make_probe: Callable[[Recipe, Source, keras.Model], Probe] = no_probe
