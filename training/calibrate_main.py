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
With --unknown_recall=0.95 a last class "unknown" is for images like none of the
others, by the energy of the logits or the nearest training images; 95 % of the
validation images keep their class. The result is an ordinary .keras file."""


def options() -> _cli.FlagValues:
    """Returns the command's flags."""
    flags = _cli.Flags()
    flags.model("logits, probabilities or sigmoid")
    flags.data(" [the run's]")
    flags.text("out", None, "a .keras file")
    flags.integer("batch", 64, "images at a time", 1)
    flags.number("unknown_recall", None, 'share that a class "unknown" leaves', most=1)
    flags.choice("unknown_by", unknown.WAYS[0], unknown.WAYS, "what tells that class")
    flags.text("unknown_images", None, "images of no class, to measure that by")
    flags.run_split()
    flags.skip_bad_images()
    return flags.values


def _calibrate(chosen: _cli.FlagValues) -> int:
    out = _cli.file_to_write("out", chosen.out, ".keras")
    recall = chosen.unknown_recall
    if recall is not None and not 0 < recall < 1:
        raise UsageError("--unknown_recall must lie between 0 and 1, such as 0.95")
    for flag in ("unknown_images", "unknown_by"):
        if chosen[flag].present and recall is None:
            raise UsageError(f"--{flag} goes with --unknown_recall=0.95")
    spec, choice = run_split.read_flags(chosen, "validation")
    _cli.import_tensorflow()
    from . import data
    from .data import stream_flaws
    from .evaluation import temperature
    from .inference import inputs, unknown_class

    named = chosen.unknown_images
    strangers = inputs.list_images([named]) if named else []
    with stream_flaws.count_flawed_images(spec):
        model = _open(chosen)
        forward = checked(_make_forward, model.model)
        source: Source = run_split.load_and_tell(
            data.load, model, spec, choice, chosen.skip_bad_images
        )
        features, logits, labels = _answers(forward, model, source, chosen.batch)
        bank = None
        # By energy it is only compared, on images of no class.
        if recall is not None and (strangers or chosen.unknown_by != unknown.ENERGY):
            bank = _read_bank(forward, source, chosen.unknown_by)
    try:
        found = temperature.fit(logits, labels)
    except ValueError as error:
        if recall is None:
            raise UsageError(f"--data={spec}: {error}") from error
        note(COMMAND, f"no temperature: {error}")
        found = 1.0
    known = unknown_class.Seen(logits / found, features)
    others = None
    if strangers:
        features, seen = _views(forward, model, strangers, chosen.batch)
        others = unknown_class.Seen(seen / found, features)
    # From here on `forward` gives other logits.
    _scale(model, found)
    made, names, last = model.model, model.labels, None
    if recall is not None:
        last = unknown_class.fit(known, bank, recall, chosen.unknown_by)
        made = checked(last.add_to, model.model, COMMAND)
        names = (*names, unknown.LABEL)
    with _cli.writes_file("out", chosen.out):
        _write(model, made, names, out)
    _note_meaning(made, chosen.out)
    say(f"temperature {found:.4f}, fitted on {len(labels):,} images, in {chosen.out}")
    _say_halves(temperature.compare_halves(logits, labels))
    if last is not None:
        for line in last.describe(known):
            say(line)
        for line in last.measure(known, others) if others else ():
            say(line)
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
        features = keras.ops.cast(features, "float32")
        logits = features @ keras.ops.cast(kernel, "float32")
        if bias is not None:
            logits = logits + keras.ops.cast(bias, "float32")
        return features, logits

    return compile_forward(keras.Model(flat.inputs, last.inputs[0]), finish)


def _answers(
    forward: Any, model: Any, source: Source, batch: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns features, logits (two or more), and the model's numbers of classes."""
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
        rows.append((*forward(images.numpy()[real]), order[labels.numpy()[real]]))
    features, logits, labels = (
        np.concatenate(each) for each in zip(*rows, strict=True)
    )
    if logits.shape[1] == 1:  # Of the second of two classes.
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    return features, logits, labels


def _read_bank(forward: Any, source: Source, by: str) -> np.ndarray | None:
    """Returns features of some training images; None where there is no need.

    Raises:
        UsageError: They cannot be had.
    """
    bank = unknown.read_bank(source, lambda images: np.asarray(forward(images)[0]))
    if bank is None and by != unknown.ENERGY:
        raise UsageError(
            f"--unknown_by={by} takes training images whose classes are known before "
            "they are read: folder:, files:, array:, tfrecord: or array_record:"
        )
    return bank


def _views(
    forward: Any, model: Any, names: list[str], batch: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns features and logits of images that a person names.

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
    features, logits = (np.concatenate(each) for each in zip(*rows, strict=True))
    return features, logits


def _scale(model: Any, temperature: float) -> None:
    """Divides a model's classifier by a temperature."""
    from .inference import classifier_head

    *_, last = classifier_head.find(model.model, COMMAND)
    for variable in last.layer.weights:
        variable.assign(variable / temperature)


def _write(model: Any, made: Any, names: tuple[str, ...], out: Path) -> None:
    """Writes a model, and beside it what belongs to it.

    Args:
        model: The classifier that it was made of.
        made: The network.
        names: Its classes.
        out: Where to.

    Raises:
        UsageError: Files of another model lie there.
    """
    from .inference import files_beside

    is_beside = out.parent.resolve() == Path(model.name).parent.resolve()
    if names != model.labels or model.kind == "checkpoint" or not is_beside:
        files_beside.write(out, names, model.preprocessing)
    with _files.replacing(out) as file:
        made.save(file)


def _note_meaning(made: Any, out: str) -> None:
    """Tells what later commands must be told: the loss is not in the new file."""
    from keras_convnext.inference.outputs import find_output_meaning

    try:
        find_output_meaning(made)
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


command = _cli.Command(COMMAND, SUMMARY, options, _calibrate, required=("model", "out"))
main = command.main
run = command.run


if __name__ == "__main__":
    run()
