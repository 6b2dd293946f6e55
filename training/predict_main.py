"""`python -m training.predict_main`: what a trained model says of pictures."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags

from . import console
from .console import Mistake, say

COMMAND = "predict"
SUMMARY = """Tells what a model sees in pictures, the likeliest classes first.

  python -m training.predict_main --model=runs/demo PICTURE...

PICTURE is a file, a folder, an address (https://...), or a .txt file with one
of these a line. Class names and preprocessing are read from beside the model.
What cannot be read is named and passed over; the exit code is 0 where any
picture was answered and 2 where none was."""
_FORMATS = ("table", "csv", "json")


def options() -> flags.FlagValues:
    """Returns the command's flags."""
    values = flags.FlagValues()
    flags.DEFINE_string(
        "model", None, "a file, a folder or a published checkpoint", flag_values=values
    )
    flags.DEFINE_string(
        "output",
        None,
        "if it does not tell: logits, probabilities or sigmoid",
        flag_values=values,
    )
    flags.DEFINE_string(
        "normalization",
        None,
        "if it has none: imagenet, unit, symmetric or none",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "top", 3, "how many classes to tell", lower_bound=1, flag_values=values
    )
    flags.DEFINE_enum(
        "format", "table", _FORMATS, "table, csv or json", flag_values=values
    )
    flags.DEFINE_string("out", None, "file for it; stdout unless", flag_values=values)
    flags.DEFINE_integer(
        "batch", 32, "pictures at a time", lower_bound=1, flag_values=values
    )
    return values


def main(argv: list[str]) -> int:
    """Runs the command.

    Args:
        argv: The program's name and its arguments.

    Returns:
        The exit code: 0 where a picture was answered, 2 where none was.
    """
    return console.guard(COMMAND, lambda: _predict(argv), (flags.Error,))


def _predict(argv: list[str]) -> int:
    chosen = options()
    if console.asks_for_help(argv):
        say(console.help_text(SUMMARY, chosen))
        return 0
    named = chosen(argv)[1:]
    console.require(chosen, ("model",))
    if not named:
        raise Mistake("no picture was named; --help shows how")
    console.import_tensorflow()
    from .inference import inputs, models, predictions
    from .workdir import atomic

    names = inputs.listed(named)
    model = models.open_model(chosen, COMMAND)
    write = predictions.FORMATS[chosen.format]
    given: list[predictions.Answer] = []
    for part in _answers(names, model, chosen.top, chosen.batch):
        given += part
        # A person at a screen sees the first ones while the rest are read.
        if chosen.format == "table" and not chosen.out and (text := write(part)):
            say(text)
    if chosen.out:
        try:
            atomic.write_text(Path(chosen.out), write(given) + "\n")
        except OSError as error:
            raise Mistake(
                f"--out={chosen.out} cannot be written: {error.strerror}"
            ) from error
    elif chosen.format != "table":
        say(write(given))
    answered = any(not answer.problem for answer in given)
    return 0 if answered else console.EXIT_MISTAKE


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
                print(f"{COMMAND}: error: {view.problem}", file=sys.stderr, flush=True)
            if view.remark:
                told = f"{COMMAND}: {view.name} {view.remark}"
                print(told, file=sys.stderr, flush=True)
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


def run() -> None:
    """Entry point of the console script."""
    # absl's own flags stay untouched: `main` parses the command's.
    app.run(main, flags_parser=lambda argv: [*flags.FLAGS(argv[:1]), *argv[1:]])


if __name__ == "__main__":
    run()
