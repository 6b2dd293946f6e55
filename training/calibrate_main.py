"""`python -m training.calibrate_main`: probabilities as sure as they are right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_convnext import _cli, _files
from keras_convnext._messages import UsageError, checked, note, say

from .data import run_split
from .evaluation import unknown

if TYPE_CHECKING:
    from .data.source import Source
    from .evaluation.temperature import Halves

COMMAND = "calibrate"
SUMMARY = """Fits a temperature on validation images and folds it into the classifier.

  python -m training.calibrate_main --model=runs/demo --out=calibrated.keras

Classes keep their order; probabilities become right as often as they are sure.
With --unknown_recall=0.95 there is a last class "unknown", for images that look
like none of the others; 95 % of the validation images keep their class.
The result is an ordinary .keras file, with labels and preprocessing beside it."""


def options() -> _cli.FlagValues:
    """Returns the command's flags."""
    flags = _cli.Flags()
    flags.model("logits, probabilities or sigmoid")
    flags.data(" [the run's]")
    flags.text("out", None, "a .keras file")
    flags.integer("batch", 64, "images at a time", 1)
    flags.number("unknown_recall", None, 'share that a class "unknown" leaves', most=1)
    flags.text("unknown_images", None, "images of no class, to measure that by")
    flags.run_split()
    flags.skip_bad_images()
    return flags.values


def _calibrate(chosen: _cli.FlagValues) -> int:
    out = _cli.file_to_write("out", chosen.out, ".keras")
    recall, others = chosen.unknown_recall, chosen.unknown_images
    if recall is not None and not 0 < recall < 1:
        raise UsageError("--unknown_recall must lie between 0 and 1, such as 0.95")
    if others and recall is None:
        raise UsageError("--unknown_images is measured with --unknown_recall=0.95")
    spec, choice = run_split.read_flags(chosen, "validation")
    _cli.import_tensorflow()
    from . import data
    from .data import stream_flaws
    from .evaluation import temperature
    from .inference import inputs

    strangers = inputs.list_images([others]) if others else []
    with stream_flaws.count_flawed_images(spec):
        model = _open(chosen)
        forward = checked(_make_forward, model.model)
        source: Source = run_split.load_and_tell(
            data.load, model, spec, choice, chosen.skip_bad_images
        )
        logits, labels = _answers(forward, model, source, chosen.batch)
    try:
        found = temperature.fit(logits, labels)
    except ValueError as error:
        if recall is None:
            raise UsageError(f"--data={spec}: {error}") from error
        note(COMMAND, f"no temperature: {error}")
        found = 1.0
    logit = None if recall is None else unknown.fit_logit(logits / found, recall)
    with _cli.writes_file("out", chosen.out):
        checked(_write, model, found, logit, out)
    _note_meaning(model, chosen.out)
    say(f"temperature {found:.4f}, fitted on {len(labels):,} images, in {chosen.out}")
    _say_halves(temperature.compare_halves(logits, labels))
    if logit is not None:
        _say_known(logits / found, logit)
        if strangers:
            seen = _views(forward, model, strangers, chosen.batch)
            _say_strangers(logits / found, seen / found, logit)
    return 0


def _open(chosen: _cli.FlagValues) -> Any:
    """Returns the classifier.

    Raises:
        UsageError: It is none that a temperature fits, or that gets one class more.
    """
    from .inference import models

    model = models.open_classifier(chosen, COMMAND)
    if model.model is None:
        raise UsageError(
            f"--model={chosen.model} is an exported file: name the .keras file "
            "that it was made of, and export the result"
        )
    if not model.is_exclusive:
        raise UsageError(
            f"--model={chosen.model} gives each label a probability by itself: "
            "calibrate is for models whose images have one class each"
        )
    if chosen.unknown_recall is not None:
        if unknown.LABEL in model.labels:
            raise UsageError(
                f"--model={chosen.model} has a class {unknown.LABEL!r} already: name "
                "the model that it was made of"
            )
        if model.meaning.kind != "softmax":
            raise UsageError(
                f"--model={chosen.model} has one output for two classes, and a class "
                f"{unknown.LABEL!r} needs an output for each"
            )
    return model


def _make_forward(model: Any) -> Any:
    """Returns a function from images to features `(images, channels)` and logits.

    Raises:
        ValueError: The model does not end in a dense layer.
    """
    import keras

    from keras_convnext.inference.classifier import compile_forward

    from .inference import classifier_head

    flat, _, last = classifier_head.find(model, COMMAND)
    kernel, bias = last.layer.kernel, last.layer.bias

    def finish(features: Any) -> Any:
        logits = keras.ops.cast(features, "float32") @ keras.ops.cast(kernel, "float32")
        return logits if bias is None else logits + keras.ops.cast(bias, "float32")

    return compile_forward(keras.Model(flat.inputs, last.inputs[0]), finish)


def _answers(
    forward: Any, model: Any, source: Source, batch: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns logits of two classes or more, and the model's numbers of the classes."""
    missing = [name for name in source.classes if name not in model.labels]
    if missing:
        raise UsageError(
            f"the data's classes {', '.join(missing[:5])} are not among the model's "
            f"{len(model.labels)}"
        )
    order = np.array([model.labels.index(name) for name in source.classes])
    rows = []
    for images, labels, weights in source.validation_batches(batch):
        real = weights.numpy() > 0
        rows.append((forward(images.numpy()[real]), order[labels.numpy()[real]]))
    logits, labels = (np.concatenate(column) for column in zip(*rows, strict=True))
    if logits.shape[1] == 1:  # Of the second of two classes.
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    return logits, labels


def _views(forward: Any, model: Any, names: list[str], batch: int) -> np.ndarray:
    """Returns the logits of images that a person names.

    Raises:
        UsageError: None of them can be read.
    """
    from .inference import inputs

    rows = []
    for views in inputs.views(names, model.preprocessing, batch):
        for view in views:
            if view.problem:
                note(COMMAND, view.problem)
        seen = [view.image for view in views if view.image is not None]
        if seen:
            rows.append(forward(np.stack(seen)))
    if not rows:
        raise UsageError("none of --unknown_images can be read")
    return np.concatenate(rows)


def _write(model: Any, temperature: float, logit: float | None, out: Path) -> None:
    """Writes the model with a classifier divided by the temperature.

    Args:
        model: A classifier.
        temperature: What its logits are divided by.
        logit: Of a last class, for images of none; None for no such class.
        out: Where to.

    Raises:
        UsageError: Files of another model lie there.
        ValueError: The model gets no class more.
    """
    from .inference import classifier_head, files_beside

    names = (*model.labels, *([] if logit is None else [unknown.LABEL]))
    *_, last = classifier_head.find(model.model, COMMAND)
    for variable in last.layer.weights:
        variable.assign(variable / temperature)
    made = model.model
    if logit is not None:
        made = classifier_head.with_constant_class(made, logit, COMMAND)
    is_beside = out.parent.resolve() == Path(model.name).parent.resolve()
    if logit is not None or model.kind == "checkpoint" or not is_beside:
        files_beside.write(out, names, model.preprocessing)
    with _files.replacing(out) as file:
        made.save(file)


def _note_meaning(model: Any, out: str) -> None:
    """Tells what later commands must be told: the loss is not in the new file."""
    from keras_convnext.inference.outputs import find_output_meaning

    try:
        find_output_meaning(model.model)
    except ValueError:
        note(COMMAND, f"name {out} with --output=logits, for its graph does not tell")


def _say_halves(halves: Halves | None) -> None:
    if halves is None:
        note(COMMAND, "too few mistakes to try a half's temperature on the other half")
        return
    before, after = halves.before, halves.after
    say("on images that the temperature was not fitted on (by halves):")
    say(f"  cross-entropy      {before.loss:8.4f} before, {after.loss:8.4f} after")
    errors = before.calibration_error(), after.calibration_error()
    say(f"  calibration error  {errors[0]:8.2%} before, {errors[1]:8.2%} after")
    say(f"  top-1 accuracy     {before.top1:8.2%} before and after")


def _say_known(logits: np.ndarray, logit: float) -> None:
    kept = float(np.mean(logits.max(axis=1) > logit))
    say(f"{unknown.LABEL}: a class with the logit {logit:.4f}")
    say(f"  validation images that keep their class {kept:8.2%}")


def _say_strangers(logits: np.ndarray, others: np.ndarray, logit: float) -> None:
    """Tells how well images of no class are told from those of the classes."""
    found = float(np.mean(others.max(axis=1) <= logit))
    scores = unknown.minus_energy(logits), unknown.minus_energy(others)
    say(f"of {len(others):,} images of no class (score: minus energy)")
    say(f"  answered as unknown                     {found:8.2%}")
    say(f"  AUROC                                   {unknown.auroc(*scores):8.2%}")
    rate = unknown.false_positive_rate(*scores)
    say(f"  FPR95                                   {rate:8.2%}")


command = _cli.Command(COMMAND, SUMMARY, options, _calibrate, required=("model", "out"))
main = command.main
run = command.run


if __name__ == "__main__":
    run()
