"""`python -m training.predict_main`: what a trained model says of images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from keras_convnext import _cli, _files
from keras_convnext._messages import UsageError, note, say

COMMAND = "predict"
SUMMARY = """Predicts the classes of images, the most probable first.

  python -m training.predict_main --model=runs/demo IMAGE...

IMAGE is a file, a folder, an address (https://...), a .txt file with one of
these a line, or files:LIST.csv. Class names and preprocessing are read from
beside the model.
A segmentation model writes label maps (PNG), colored overlays and
predictions.json into the folder --out; a detector overlays and
predictions.json, as COCO has objects. Unreadable images are reported and
skipped; the exit code is 2 if there is no prediction at all."""
_FORMATS = ("table", "csv", "json")


def options() -> _cli.FlagValues:
    """Returns the command's flags."""
    flags = _cli.Flags()
    flags.model()
    flags.integer("top", 3, "classes per image", 1)
    flags.choice("format", "table", _FORMATS, "output format")
    flags.text("out", None, "output file [stdout]; folder for maps or objects")
    flags.integer("batch", 32, "images at a time", 1)
    return flags.values


def _predict(chosen: _cli.FlagValues, named: list[str]) -> int:
    if not named:
        raise UsageError("no image was named; --help shows how")
    _cli.import_tensorflow()

    from .inference import inputs, models, predictions

    names = inputs.list_images(named)
    model = models.open_model(chosen, COMMAND)
    if model.meaning.kind == "label_map":
        return _label_pixels(chosen, names, model)
    if model.meaning.kind == "objects":
        return _find_objects(chosen, names, model)
    write = predictions.FORMATS[chosen.format]
    given: list[predictions.Answer] = []
    for part in _answers(names, model, chosen.top, chosen.batch):
        given += part
        # A person at a screen sees the first ones while the rest are read.
        if chosen.format == "table" and not chosen.out and (text := write(part)):
            say(text)
    if chosen.out:
        with _cli.writes_file("out", chosen.out):
            _files.write_text(Path(chosen.out), write(given) + "\n")
    elif chosen.format != "table":
        say(write(given))
    answered = any(not answer.problem for answer in given)
    return 0 if answered else UsageError.exit_code


def _label_pixels(chosen: _cli.FlagValues, names: list[str], model: Any) -> int:
    """Writes label maps; what each image shows goes to stdout."""
    from .inference import inputs, label_maps, predictions

    out = _require_folder(chosen, f"{model.name} labels pixels", "label maps")
    given: list[label_maps.LabeledImage] = []
    with _cli.writes_file("out", chosen.out):
        folder = label_maps.LabelMapFolder(out, model.labels, model.palette)
    # Whole images are large: one at a time.
    for [view] in inputs.views(names, None, 1):
        _note(view)
        if view.image is None:
            given.append(folder.problem(view.name, view.problem))
            continue
        found = model.label_map(view.image)
        with _cli.writes_file("out", chosen.out):
            given.append(folder.write(view.name, view.image, found))
        if chosen.format == "table":
            answer = given[-1].answer(model.labels, chosen.top)
            say(predictions.as_table([answer]))
    record = folder.record(given)
    with _cli.writes_file("out", chosen.out):
        _files.write_json(out / label_maps.RECORD, record)
    if chosen.format == "json":
        say(json.dumps(record, indent=2, ensure_ascii=False))
    answered = any(not each.problem for each in given)
    return 0 if answered else UsageError.exit_code


def _find_objects(chosen: _cli.FlagValues, names: list[str], model: Any) -> int:
    """Writes what is found in images; a line of each goes to stdout."""
    from .inference import inputs, objects

    out = _require_folder(chosen, f"{model.name} finds objects", "predictions.json")
    with _cli.writes_file("out", chosen.out):
        folder = objects.ObjectFolder(out, model.labels)
    answered = False
    # Whole images are large: one at a time.
    for [view] in inputs.views(names, None, 1):
        _note(view)
        if view.image is None:
            folder.problem(view.name, view.problem)
            continue
        found = model.find(view.image)
        with _cli.writes_file("out", chosen.out):
            told = folder.write(view.name, view.image, found)
        answered = True
        if chosen.format == "table":
            say(told)
    record = folder.record()
    with _cli.writes_file("out", chosen.out):
        _files.write_json(out / objects.RECORD, record)
    if chosen.format == "json":
        say(json.dumps(record, indent=2, ensure_ascii=False))
    return 0 if answered else UsageError.exit_code


def _require_folder(chosen: _cli.FlagValues, what: str, files: str) -> Path:
    """Returns the folder for the files of a model whose answers are none of classes.

    Raises:
        UsageError: None is given, or a table of classes is asked for.
    """
    if not chosen.out:
        raise UsageError(
            f"{what}: say --out=FOLDER, where {files} and overlays are to be written"
        )
    if chosen.format == "csv":
        raise UsageError(
            "--format=csv is for classifiers; table and json are for all models"
        )
    return Path(chosen.out)


def _note(view: Any) -> None:
    """Tells stderr what there is to know of an image."""
    if view.problem:
        note(COMMAND, f"error: {view.problem}")
    if view.remark:
        note(COMMAND, f"{view.name} {view.remark}")


def _answers(
    names: Sequence[str], model: Any, top: int, batch: int
) -> Iterator[list[Any]]:
    """Asks the model, a batch at a time; problems go to stderr at once."""
    import numpy as np

    from keras_convnext.inference.classifier import name_best

    from .inference import inputs, predictions

    is_number = model.meaning.kind == "number"
    ask = model.numbers if is_number else model.probabilities
    for views in inputs.views(names, model.preprocessing, batch):
        for view in views:
            _note(view)
        seen = [view.image for view in views if view.image is not None]
        rows = iter(ask(np.stack(seen)) if seen else ())
        answers = []
        for view in views:
            if view.image is None:
                answers.append(predictions.Answer(view.name, (), view.problem))
                continue
            scores = next(rows)
            if is_number:
                answer = predictions.Answer(view.name, (), number=float(scores))
                answers.append(answer)
                continue
            best = name_best(scores, model.labels, top)
            labels = model.apply_thresholds(scores) if model.thresholds else None
            answers.append(predictions.Answer(view.name, best, labels=labels))
        yield answers


command = _cli.Command(
    COMMAND, SUMMARY, options, _predict, required=("model",), takes_names=True
)
main = command.main
run = command.run


if __name__ == "__main__":
    run()
