"""`python -m training.predict_main`: what a trained model says of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from keras_convnext import _cli, _files
from keras_convnext._messages import UsageError, note, say

COMMAND = "predict"
SUMMARY = """Predicts the classes of images, the most probable first.

  python -m training.predict_main --model=runs/demo IMAGE...

IMAGE is a file, a folder, an address (https://...), or a .txt file with one
of these a line. Class names and preprocessing are read from beside the model.
Unreadable images are reported and skipped; the exit code is 2 if there is no
prediction at all."""
_FORMATS = ("table", "csv", "json")


def options() -> _cli.FlagValues:
    """Returns the command's flags."""
    flags = _cli.Flags()
    flags.model()
    flags.integer("top", 3, "classes per image", 1)
    flags.choice("format", "table", _FORMATS, "output format")
    flags.text("out", None, "output file [stdout]")
    flags.integer("batch", 32, "images at a time", 1)
    return flags.values


def _predict(chosen: _cli.FlagValues, named: list[str]) -> int:
    if not named:
        raise UsageError("no image was named; --help shows how")
    _cli.import_tensorflow()

    from .inference import inputs, models, predictions

    names = inputs.list_images(named)
    model = models.open_model(chosen, COMMAND)
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


def _answers(
    names: Sequence[str], model: Any, top: int, batch: int
) -> Iterator[list[Any]]:
    """Asks the model, a batch at a time; problems go to stderr at once."""
    import numpy as np

    from keras_convnext.inference.classifier import name_best

    from .inference import inputs, predictions

    for views in inputs.views(names, model.preprocessing, batch):
        for view in views:
            if view.problem:
                note(COMMAND, f"error: {view.problem}")
            if view.remark:
                note(COMMAND, f"{view.name} {view.remark}")
        seen = [view.image for view in views if view.image is not None]
        rows = iter(model.probabilities(np.stack(seen)) if seen else ())
        yield [
            predictions.Answer(
                view.name,
                () if view.image is None else name_best(next(rows), model.labels, top),
                view.problem,
            )
            for view in views
        ]


command = _cli.Command(
    COMMAND, SUMMARY, options, _predict, required=("model",), takes_names=True
)
main = command.main
run = command.run


if __name__ == "__main__":
    run()
