"""`python -m training.predict_main`: what a trained model says of pictures."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from absl import app, flags

from . import console
from .console import Mistake, say

COMMAND = "predict"
SUMMARY = """Prints what a model sees in pictures, the likeliest classes first.

  python -m training.predict_main --model=runs/demo/model.keras PICTURE...

Class names and preprocessing are read from what lies beside the model."""
_BAR_WIDTH = 20


def options() -> flags.FlagValues:
    """Returns the command's flags."""
    values = flags.FlagValues()
    flags.DEFINE_string(
        "model", None, "a file, a folder or a published checkpoint", flag_values=values
    )
    flags.DEFINE_integer(
        "top", 3, "how many classes to print", lower_bound=1, flag_values=values
    )
    return values


def main(argv: list[str]) -> int:
    """Runs the command.

    Args:
        argv: The program's name and its arguments.

    Returns:
        The exit code: 0 where every picture was answered, 2 otherwise.
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
    from . import classifier

    model = classifier.open_model(chosen.model)
    for notice in model.notices:
        say(notice)
    bad = 0
    for name in named:
        try:
            view = _view(Path(name).expanduser(), model.preprocessing)
        except Mistake as mistake:
            print(f"{COMMAND}: error: {mistake}", file=sys.stderr, flush=True)
            bad += 1
            continue
        _say_answer(name, model, view, chosen.top)
    return console.EXIT_MISTAKE if bad else 0


def _view(path: Path, preprocessing: Any) -> Any:
    """Returns a picture file as evaluation sees it, float32 `(1, size, size, 3)`.

    Raises:
        Mistake: The file is missing or is no picture.
    """
    import tensorflow as tf

    from keras_convnext import image

    try:
        picture = image.decode(tf.constant(path.read_bytes()))
    except OSError as error:
        raise Mistake(f"{path} cannot be read: {error.strerror}") from error
    except tf.errors.OpError as error:
        raise Mistake(f"{path}: {_reason(error.message)}") from error
    return image.evaluation_view(picture, preprocessing).numpy()[None]


def _reason(message: str) -> str:
    """Returns the telling part of what a TensorFlow operator complains of."""
    asserted = re.search(r"Summarized data: b'([^']*)'", message)
    if asserted:
        return asserted.group(1).partition(". ")[0].rstrip(".")
    return f"no picture that can be read ({message.partition(chr(10))[0][:120]})"


def _say_answer(name: str, model: Any, view: Any, top: int) -> None:
    [probabilities] = model.probabilities(view)
    order = probabilities.argsort()[::-1][:top]
    width = max(len(model.labels[number]) for number in order)
    say(name)
    for number in order:
        share = float(probabilities[number])
        bar = "━" * round(_BAR_WIDTH * share)
        say(f"  {model.labels[number]:<{width}}  {share:7.2%}  {bar}".rstrip())


def run() -> None:
    """Entry point of the console script."""
    # absl's own flags stay untouched: `main` parses the command's.
    app.run(main, flags_parser=lambda argv: [*flags.FLAGS(argv[:1]), *argv[1:]])


if __name__ == "__main__":
    run()
