"""`python -m training.predict_main`: what a trained model says of images."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_convnext import _cli, _files
from keras_convnext._messages import UsageError, note, say

if TYPE_CHECKING:
    from .inference.drawing import Drawing

COMMAND = "predict"
SUMMARY = """Predicts the classes of images, the most probable first.

  python -m training.predict_main --model=runs/demo IMAGE...

IMAGE is a file, a folder, an address (https://...), a .txt file with one of
these a line, files:LIST.csv, a video or camera:0. A segmentation model writes
label maps, overlays and predictions.json into the folder --out, a detector
overlays and COCO's predictions.json. Unreadable images are reported and
skipped; the exit code is 2 if there is no prediction at all."""
_FORMATS = ("table", "csv", "json")
_PAGE = ".html"


def options() -> _cli.FlagValues:
    """Returns the command's flags."""
    flags = _cli.Flags()
    flags.model()
    flags.integer("top", 3, "classes per image", 1)
    flags.choice("format", "table", _FORMATS, "output format")
    flags.text("out", None, "output file [stdout]; folder for maps or objects")
    flags.text("draw", None, "page (.html) or folder of images with the answers")
    flags.text("every", "1", "of a video: each so many frames, or seconds (0.5s)")
    flags.integer("batch", 32, "images at a time", 1)
    return flags.values


def _predict(chosen: _cli.FlagValues, named: list[str]) -> int:
    if not named:
        raise UsageError("no image was named; --help shows how")
    if chosen.draw and chosen.draw.endswith(_PAGE):
        _cli.file_to_write("draw", chosen.draw, _PAGE)
    _cli.import_tensorflow()

    from .inference import drawing, inputs, models, videos

    names = inputs.list_images(named)
    every = videos.parse_every(chosen.every)
    videos.check(names)
    model = models.open_model(chosen, COMMAND)
    ask: Any = functools.partial(_classify, any(map(videos.is_video, names)))
    # Whole images are large: one at a time.
    sight: tuple[Any, ...] = (None, 1, every)
    if model.meaning.kind == "label_map":
        _require_folder(chosen, f"{model.name} labels pixels", "label maps")
        ask = _label_pixels
    elif model.meaning.kind == "objects":
        _require_folder(chosen, f"{model.name} finds objects", "predictions.json")
        ask = _find_objects
    else:
        shown_px = drawing.SHOWN_PX if chosen.draw else None
        sight = (model.preprocessing, chosen.batch, every, shown_px)
    draw = drawing.open_drawing(chosen.draw, f"Predictions of {model.name}")
    answered = ask(chosen, videos.views(names, *sight), model, draw)
    draw.finish()
    return 0 if answered else UsageError.exit_code


def _classify(
    has_frames: bool,
    chosen: _cli.FlagValues,
    seen: Iterator[list[Any]],
    model: Any,
    draw: Drawing,
) -> bool:
    """Writes classes or numbers, as they come; returns False where there are none."""
    from .inference import predictions

    answered = False

    def answers() -> Iterator[predictions.Answer]:
        nonlocal answered
        for answer in _answers(seen, model, chosen.top, draw):
            answered = answered or not answer.problem
            yield answer

    is_number = model.meaning.kind == "number"
    columns = predictions.Columns(
        0 if is_number else min(chosen.top, len(model.labels)),
        has_frames=has_frames,
        has_numbers=is_number,
        has_labels=not is_number and bool(model.thresholds),
    )
    lines = predictions.FORMATS[chosen.format](answers(), columns)
    if not chosen.out:
        for line in lines:
            say(line)
        return answered
    with (
        _cli.writes_file("out", chosen.out),
        _files.replacing(Path(chosen.out)) as partial,
        partial.open("w", encoding="utf-8") as file,
    ):
        file.writelines(f"{line}\n" for line in lines)
    return answered


def _label_pixels(
    chosen: _cli.FlagValues, seen: Iterator[list[Any]], model: Any, draw: Drawing
) -> bool:
    """Writes label maps; what each image shows goes to stdout."""
    from .inference import drawing, label_maps, predictions

    out = Path(chosen.out)
    given: list[label_maps.LabeledImage] = []
    with _cli.writes_file("out", chosen.out):
        folder = label_maps.LabelMapFolder(out, model.labels, model.palette)
    for [view] in seen:
        _note(view, draw)
        if view.image is None:
            given.append(folder.problem(view.name, view.problem))
            continue
        found = model.label_map(view.image)
        where = (view.frame, view.seconds)
        with _cli.writes_file("out", chosen.out):
            labeled = folder.write(view.name, view.image, found, *where)
        given.append(labeled)
        answer = labeled.answer(model.labels, chosen.top)
        rows = drawing.rows_of(answer)
        draw.add(drawing.Drawn(view, out / labeled.overlay, rows))
        if chosen.format == "table":
            for line in predictions.as_table([answer]):
                say(line)
    _write_record(chosen, out / label_maps.RECORD, folder.record(given))
    return any(not each.problem for each in given)


def _find_objects(
    chosen: _cli.FlagValues, seen: Iterator[list[Any]], model: Any, draw: Drawing
) -> bool:
    """Writes what is found in images; a line of each goes to stdout."""
    from .inference import drawing, objects

    out = Path(chosen.out)
    with _cli.writes_file("out", chosen.out):
        folder = objects.ObjectFolder(out, model.labels)
    answered = False
    for [view] in seen:
        _note(view, draw)
        if view.image is None:
            folder.problem(view.name, view.problem)
            continue
        found = model.find(view.image)
        where = (view.frame, view.seconds)
        with _cli.writes_file("out", chosen.out):
            told, overlay = folder.write(view.name, view.image, found, *where)
        answered = True
        draw.add(drawing.Drawn(view, overlay, [drawing.Row(told)]))
        if chosen.format == "table":
            say(f"{view.title}: {told}")
    _write_record(chosen, out / objects.RECORD, folder.record())
    return answered


def _write_record(chosen: _cli.FlagValues, file: Path, record: Any) -> None:
    with _cli.writes_file("out", chosen.out):
        _files.write_json(file, record)
    if chosen.format == "json":
        say(json.dumps(record, indent=2, ensure_ascii=False))


def _require_folder(chosen: _cli.FlagValues, what: str, files: str) -> None:
    """Makes sure that a model whose answers are none of classes has a folder for them.

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


def _note(view: Any, draw: Drawing) -> None:
    """Tells stderr, and the page, what there is to know of an image."""
    if view.problem:
        note(COMMAND, f"error: {view.problem}")
        draw.problem(view.problem)
    if view.remark:
        note(COMMAND, f"{view.name} {view.remark}")


def _answers(
    seen: Iterator[list[Any]], model: Any, top: int, draw: Drawing
) -> Iterator[Any]:
    """Asks the model, a batch at a time; problems go to stderr at once."""
    import numpy as np

    from .inference import drawing, predictions

    is_number = model.meaning.kind == "number"
    ask = model.numbers if is_number else model.probabilities
    for views in seen:
        for view in views:
            _note(view, draw)
        images = [view.image for view in views if view.image is not None]
        scores = iter(ask(np.stack(images)) if images else ())
        for view in views:
            if view.image is None:
                yield predictions.Answer(view.name, (), view.problem)
                continue
            answer = _answer(view, next(scores), model, top)
            counted = answer.best[0][0] if answer.best else ""
            rows = drawing.rows_of(answer)
            draw.add(drawing.Drawn(view, view.shown, rows, counted))
            yield answer


def _answer(view: Any, scores: Any, model: Any, top: int) -> Any:
    """Returns what a model's output for one image says."""
    from keras_convnext.inference.classifier import name_best

    from .inference import predictions

    where = {"frame": view.frame, "seconds": view.seconds}
    if model.meaning.kind == "number":
        return predictions.Answer(view.name, (), number=float(scores), **where)
    best = name_best(scores, model.labels, top)
    labels = model.apply_thresholds(scores) if model.thresholds else None
    return predictions.Answer(view.name, best, labels=labels, **where)


command = _cli.Command(
    COMMAND, SUMMARY, options, _predict, required=("model",), takes_names=True
)
main = command.main
run = command.run


if __name__ == "__main__":
    run()
