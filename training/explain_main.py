"""`python -m training.explain_main`: where a model looks in pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from absl import app, flags

from . import console
from .console import Mistake, say

COMMAND = "explain"
SUMMARY = """Draws where a model looks: Grad-CAM, and the gradient of the input.

  python -m training.explain_main --model=runs/demo --out=seen PICTURE...

PICTURE is what predict takes: a file, a folder, an address, a .txt list. The model
is a .keras file, a run's folder or a published checkpoint. The exit code is 0 where
any picture was drawn and 2 where none was."""


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
    flags.DEFINE_string("out", None, "folder for the drawings", flag_values=values)
    flags.DEFINE_string(
        "class", None, "what to explain; the answer unless given", flag_values=values
    )
    return values


def main(argv: list[str]) -> int:
    """Runs the command.

    Args:
        argv: The program's name and its arguments.

    Returns:
        The exit code: 0 where a picture was drawn, 2 where none was.
    """
    return console.guard(COMMAND, lambda: _explain(argv), (flags.Error,))


def _explain(argv: list[str]) -> int:
    chosen = options()
    if console.asks_for_help(argv):
        say(console.help_text(SUMMARY, chosen))
        return 0
    named = chosen(argv)[1:]
    console.require(chosen, ("model", "out"))
    if not named:
        raise Mistake("no picture was named; --help shows how")
    console.import_tensorflow()
    from .inference import inputs, models, saliency

    names = inputs.listed(named)
    model = models.open_model(chosen, COMMAND)
    if model.model is None:
        raise Mistake(
            f"--model={chosen.model} is a {model.kind} file, which has no gradients; "
            "give the .keras file that it was made of"
        )
    number = _number(chosen["class"].value, model.labels)
    explain_images = console.checked(saliency.make_explain, model.model)
    folder = Path(chosen.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Mistake(f"--out={folder} cannot be a folder: {error.strerror}") from error
    drawn = 0
    for [view] in inputs.views(names, model.preprocessing, 1):
        if view.problem:
            print(f"{COMMAND}: error: {view.problem}", file=sys.stderr, flush=True)
            continue
        if view.remark:
            told = f"{COMMAND}: {view.name} {view.remark}"
            print(told, file=sys.stderr, flush=True)
        drawn += 1
        _draw(view, model, explain_images, number, folder / _file_name(view, drawn))
    return 0 if drawn else console.EXIT_MISTAKE


def _number(name: str | None, labels: tuple[str, ...]) -> int | None:
    """Returns the number of the class that `--class` names."""
    if name is None:
        return None
    if name not in labels:
        raise Mistake(
            f"--class={name} is none of the model's {len(labels)} classes "
            f"({', '.join(labels[:5])} ...)"
        )
    return labels.index(name)


def _file_name(view: Any, drawn: int) -> str:
    from .report import plots

    # Numbered: two folders may have pictures of one name.
    return plots.file_name(drawn, Path(view.name).stem or "picture")


def _draw(
    view: Any, model: Any, explain_images: Any, number: int | None, path: Path
) -> None:
    from keras_convnext.inference.classifier import name_best

    from .report import insight_plots
    from .workdir import atomic

    images = view.image[None]
    [probabilities] = model.probabilities(images)
    number = int(probabilities.argmax()) if number is None else number
    # The only label of a model with one output is the second of two classes.
    shown = number if len(model.labels) > 1 else 1
    cams, slopes = console.checked(explain_images, images, [shown])
    picture = insight_plots.Explained(
        view.image, cams[0], slopes[0], model.labels[number], probabilities[number]
    )
    with atomic.replacing(path) as partial:
        partial.write_bytes(insight_plots.explained([picture]))
    [(name, share)] = name_best(probabilities, model.labels, 1)
    say(f"{path}  {view.name}: {name} {share:.2%}")


def run() -> None:
    """Entry point of the console script."""
    # absl's own flags stay untouched: `main` parses the command's.
    app.run(main, flags_parser=lambda argv: [*flags.FLAGS(argv[:1]), *argv[1:]])


if __name__ == "__main__":
    run()
