"""`python -m training.evaluate_main`: how accurate a model is."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_convnext import _cli, _files
from keras_convnext._messages import UsageError, checked, say

from .data import run_split
from .data.run_split import SPLITS
from .inference import class_order

if TYPE_CHECKING:
    # Importing it loads Keras, which is to be done quietly.
    from .data.source import Source
    from .evaluation.view_rule import ViewRule

COMMAND = "evaluate"
SUMMARY = """Evaluates a model on the validation images of its own run, or on others.

  python -m training.evaluate_main --model=runs/demo --data=digits"""
# Flags that say nothing of models of another kind, and what models of theirs do.
_OF_KINDS = {
    "label_map": (("slide",), "label pixels"),
    "objects": (("predictions",), "find objects"),
}


def options() -> _cli.FlagValues:
    """Returns the command's flags."""
    flags = _cli.Flags()
    flags.model()
    flags.data(" [the run's]")
    flags.text("out", None, "JSON file for the metrics")
    flags.text("predictions", None, "JSON file for objects found, as COCO has them")
    flags.text("label_errors", None, "CSV file for images whose labels may be wrong")
    flags.text("real_labels", None, "ImageNet-ReaL's real.json")
    flags.integer("batch", 64, "images at a time", 1)
    flags.choice("split", "validation", SPLITS, "which images")
    flags.run_split()
    flags.skip_bad_images()
    flags.switch("slide", False, "label pixels by windows of the crop")
    flags.text("scales", "1", "see images in sizes such as 0.5,1,1.5, averaged")
    flags.switch("flip", False, "see images mirrored, too")
    return flags.values


def _evaluate(chosen: _cli.FlagValues) -> int:
    spec, choice = run_split.read_flags(chosen, chosen.split)
    if chosen.label_errors:
        _cli.file_to_write("label_errors", chosen.label_errors, ".csv")
    _cli.import_tensorflow()
    from .data import stream_flaws

    with stream_flaws.count_flawed_images(spec):
        figures = _evaluate_on(spec, choice, chosen)
    if chosen.out:
        with _cli.writes_file("out", chosen.out):
            _files.write_json(Path(chosen.out), figures)
    return 0


def _evaluate_on(
    spec: str, choice: run_split.Choice, chosen: _cli.FlagValues
) -> dict[str, Any]:
    from keras_convnext.inference.classifier import Classifier

    from . import data
    from .evaluation import classifiers, label_errors, view_rule
    from .evaluation.view_rule import ViewRule
    from .inference import models

    model = models.open_model(chosen, COMMAND)
    kind = model.meaning.kind
    for other, (flags, what) in _OF_KINDS.items():
        asked = [f"--{name}" for name in flags if chosen[name].present]
        if kind != other and asked:
            raise UsageError(f"{', '.join(asked)} is for models that {what}")
    if kind in ("label_map", "objects", "number") and chosen.real_labels:
        raise UsageError("--real_labels is for models that label images")
    asked = [f"--{name}" for name in ("scales", "flip") if chosen[name].present]
    if kind in ("objects", "number") and asked:
        raise UsageError(
            f"{', '.join(asked)} is for models that label images or pixels"
        )
    if chosen.label_errors:
        if not (isinstance(model, Classifier) and model.is_exclusive):
            raise UsageError("--label_errors is for models of one class an image")
        _require_unseen(spec, choice)
    rule = ViewRule(
        chosen.slide, checked(view_rule.parse_scales, chosen.scales), chosen.flip
    )
    if kind == "label_map":
        return _evaluate_label_maps(model, spec, choice, chosen, rule)
    if kind == "objects":
        return _evaluate_objects(model, spec, choice, chosen)
    if kind == "number":
        return _evaluate_numbers(model, spec, choice, chosen)
    assert isinstance(model, Classifier)
    if not model.is_exclusive and spec.startswith("files:"):
        return _evaluate_labels(model, spec, choice, chosen, rule)
    _require_classes(model)
    source = run_split.load_and_tell(
        data.load, model, spec, choice, chosen.skip_bad_images
    )
    order = class_order.find_order(source.classes, model)
    right = _right_classes(chosen.real_labels, source, order)
    size = (source.validation_examples, len(model.labels))
    if chosen.label_errors and not label_errors.fits(*size):
        raise UsageError(f"--label_errors: {label_errors.too_many(*size)}")
    predictions, seconds = classifiers.evaluate(
        model, source, order, chosen.batch, rule, bool(chosen.label_errors)
    )
    figures = {
        "model": model.name,
        "data": spec,
        "split": choice.split,
        **_views(rule),
        "top1": predictions.top1,
        "top5": predictions.top5,
        "loss": predictions.loss,
        "calibration_error": predictions.calibration_error(),
        **_ordered_figures(predictions, choice),
        **_real_figures(predictions, right),
        **_suspected_figures(predictions),
        "examples": len(predictions.labels),
        "seconds": round(seconds, 2),
        "images_per_second": round(len(predictions.labels) / seconds, 1),
        "labels": list(model.labels),
        **classifiers.confusion(predictions),
        "classes": classifiers.by_class(predictions, model.labels),
    }
    classifiers.say_figures(figures)
    if (found := predictions.suspected) is not None:
        names = source.validation.names()
        rows = label_errors.rows(found, predictions, model.labels, names)
        with _cli.writes_file("label_errors", chosen.label_errors):
            label_errors.write(Path(chosen.label_errors).expanduser(), rows)
    return figures


def _ordered_figures(predictions: Any, choice: run_split.Choice) -> dict[str, float]:
    """Returns how far off the answers are, of a run whose classes have an order."""
    from .evaluation import ordered_metrics

    is_ordered = choice.run is not None and choice.run.fields.get("target") == "ordered"
    return ordered_metrics.figures_of(predictions) if is_ordered else {}


def _require_unseen(spec: str, choice: run_split.Choice) -> None:
    """Makes sure that a model says of its training images nothing about their labels.

    Raises:
        UsageError: Those are the images; it has learned even the wrong labels.
    """
    is_own = choice.run is not None and choice.run.data == spec
    if choice.split == "train" or (choice.split == "all" and is_own):
        raise UsageError(
            "--label_errors takes images that the model was not trained on, and "
            f"--split={choice.split} has its training images: use --split=validation"
        )


def _suspected_figures(predictions: Any) -> dict[str, int]:
    """Returns how many images have a label that is probably wrong, if asked for."""
    found = predictions.suspected
    return {} if found is None else {"suspected_labels": len(found)}


def _views(rule: ViewRule) -> dict[str, Any]:
    """Returns how often the model saw each image, where that was not once."""
    if rule.is_plain:
        return {}
    say(f"each image is seen in {len(rule.scales)} sizes{' and mirrored' * rule.flip}")
    return {"scales": list(rule.scales), "flip": rule.flip}


def _evaluate_labels(
    model: Any,
    spec: str,
    choice: run_split.Choice,
    chosen: _cli.FlagValues,
    rule: ViewRule,
) -> dict[str, Any]:
    """Evaluates a model whose labels do not exclude each other, on a list."""
    from . import data
    from .evaluation import labels

    if chosen.real_labels:
        raise UsageError("--real_labels is for models whose images have one class")
    load = partial(data.load, target="labels")
    source = run_split.load_and_tell(load, model, spec, choice, chosen.skip_bad_images)
    order = class_order.find_order(source.classes, model)
    predictions, seconds = labels.evaluate(model, source, order, chosen.batch, rule)
    images = len(predictions.losses)
    figures = {
        **_measured(model, spec, choice, images, seconds),
        "labels": list(model.labels),
        **_views(rule),
        **labels.figures_of(predictions, model),
    }
    say(f"{model.name} on {spec}, {images:,} images")
    labels.say_figures(figures)
    return figures


def _evaluate_numbers(
    model: Any, spec: str, choice: run_split.Choice, chosen: _cli.FlagValues
) -> dict[str, Any]:
    """Evaluates a model that answers with a number, on a list."""
    from . import data
    from .evaluation import numbers

    load = partial(data.load, target="number")
    source = run_split.load_and_tell(load, model, spec, choice, chosen.skip_bad_images)
    predictions, seconds = numbers.evaluate(model, source, chosen.batch)
    images = len(predictions.truth)
    figures = {
        **_measured(model, spec, choice, images, seconds),
        **predictions.figures(),
    }
    say(f"{model.name} on {spec}, {images:,} images")
    numbers.say_figures(figures)
    return figures


def _evaluate_label_maps(
    model: Any,
    spec: str,
    choice: run_split.Choice,
    chosen: _cli.FlagValues,
    rule: ViewRule,
) -> dict[str, Any]:
    """Evaluates a model that labels pixels, on images with masks."""
    from .data import masks
    from .evaluation import segmenters

    fields = choice.run.fields if choice.run else {}
    reader = partial(
        masks.load, reduce_zero_label=bool(fields.get("reduce_zero_label"))
    )
    source = run_split.load_and_tell(
        reader, model, spec, choice, chosen.skip_bad_images
    )
    order = class_order.find_order(source.classes, model)
    results, seconds = segmenters.evaluate(model, source, order, rule)
    variant = str(fields.get("variant", ""))
    images = len(results.image_iou)
    figures = {
        **_measured(model, spec, choice, images, seconds),
        "labels": list(model.labels),
        **segmenters.figures_of(results, model.labels, rule, variant),
    }
    say(f"{model.name} on {spec}, {images:,} images")
    segmenters.say_figures(figures, rule)
    return figures


def _evaluate_objects(
    model: Any, spec: str, choice: run_split.Choice, chosen: _cli.FlagValues
) -> dict[str, Any]:
    """Evaluates a detector, on images with objects."""
    from .data import boxes
    from .evaluation import detectors

    source = run_split.load_and_tell(
        boxes.load, model, spec, choice, chosen.skip_bad_images
    )
    results, seconds = detectors.evaluate(
        model, source, class_order.find_order(source.classes, model)
    )
    images = len(results.best.image_ap)
    figures = {
        **_measured(model, spec, choice, images, seconds),
        "labels": list(model.labels),
        **detectors.figures_of(results, source.classes, model.labels),
    }
    say(f"{model.name} on {spec}, {images:,} images")
    detectors.say_figures(figures)
    if chosen.predictions:
        with _cli.writes_file("predictions", chosen.predictions):
            found = detectors.in_files_numbers(results, source)
            _files.write_json(Path(chosen.predictions), found)
    return figures


def _measured(
    model: Any, spec: str, choice: run_split.Choice, images: int, seconds: float
) -> dict[str, Any]:
    """Returns what was evaluated, on what and how fast."""
    return {
        "model": model.name,
        "data": spec,
        "split": choice.split,
        "examples": images,
        "seconds": round(seconds, 2),
        "images_per_second": round(images / max(seconds, 1e-9), 2),
    }


def _require_classes(model: Any) -> None:
    """Makes sure that an image has exactly one of the model's labels.

    Raises:
        UsageError: It may have several, or none.
    """
    if model.is_exclusive:
        return
    if len(model.labels) == 1:
        raise UsageError(
            f"{model.name} has one output: give labels.txt two lines, the class that "
            "an output of 0 stands for and that of 1"
        )
    raise UsageError(
        f"{model.name} gives each of {len(model.labels)} labels a probability by "
        f"itself ({model.meaning.origin}); give their "
        "list, --data=files:LIST.csv"
    )


def _right_classes(
    path: str | None, source: Source, order: np.ndarray
) -> list[list[int]] | None:
    """Returns the model's numbers of the right classes of each image; None for none.

    Raises:
        UsageError: The file does not fit the data.
    """
    if path is None:
        return None
    from .evaluation import real_labels

    try:
        lists = real_labels.read(Path(path), len(source.classes))
        found = real_labels.labels_of_images(lists, source.validation.names())
    except ValueError as error:
        raise UsageError(f"--real_labels={path}: {error}") from error
    if not any(found):
        raise UsageError(f"--real_labels={path} has no right class for any image here")
    return [order[numbers].tolist() if numbers else [] for numbers in found]


def _real_figures(predictions: Any, right: list[list[int]] | None) -> dict[str, Any]:
    if right is None:
        return {}
    from .evaluation import real_labels

    share, count = real_labels.accuracy(predictions.top[:, 0], right)
    return {"real_top1": share, "real_examples": count}


command = _cli.Command(COMMAND, SUMMARY, options, _evaluate, required=("model",))
main = command.main
run = command.run


if __name__ == "__main__":
    run()
