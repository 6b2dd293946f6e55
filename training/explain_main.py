"""`python -m training.explain_main`: where a model looks in images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_convnext import _cli
from keras_convnext._messages import UsageError, checked, note, say

COMMAND = "explain"
SUMMARY = """Draws saliency maps: Grad-CAM, and the gradient of the input.

  python -m training.explain_main --model=runs/demo --out=seen IMAGE...

IMAGE is what predict takes: a file, a folder, an address, a .txt list. The model
is a .keras file, a run's folder or a published checkpoint. The exit code is 2 if
nothing was drawn."""


def options() -> _cli.FlagValues:
    """Returns the command's flags."""
    flags = _cli.Flags()
    flags.model()
    flags.text("out", None, "folder for the PNG files")
    flags.text("class", None, "the class to explain [the predicted one]")
    return flags.values


def _explain(chosen: _cli.FlagValues, named: list[str]) -> int:
    if not named:
        raise UsageError("no image was named; --help shows how")
    _cli.import_tensorflow()
    from .inference import inputs, models, saliency

    names = inputs.list_images(named)
    model = models.open_model(chosen, COMMAND)
    if model.meaning.kind != "number":
        model = models.require_classifier(model, COMMAND)
    elif chosen["class"].value is not None:
        raise UsageError(f"--class is for classifiers, and {model.name} has no classes")
    if model.model is None:
        raise UsageError(
            f"--model={chosen.model} is a {model.kind} file, which has no gradients; "
            "give the .keras file that it was made of"
        )
    number = _number(chosen["class"].value, getattr(model, "labels", ()))
    explain_images = checked(saliency.make_explain, model.model)
    folder = Path(chosen.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"--out={folder} cannot be a folder: {error.strerror}"
        ) from error
    drawn = 0
    for [view] in inputs.views(names, model.preprocessing, 1):
        if view.problem:
            note(COMMAND, f"error: {view.problem}")
            continue
        if view.remark:
            note(COMMAND, f"{view.name} {view.remark}")
        drawn += 1
        _draw(view, model, explain_images, number, folder / _file_name(view, drawn))
    return 0 if drawn else UsageError.exit_code


def _number(name: str | None, labels: tuple[str, ...]) -> int | None:
    """Returns the number of the class that `--class` names."""
    if name is None:
        return None
    if name not in labels:
        raise UsageError(
            f"--class={name} is none of the model's {len(labels)} classes "
            f"({', '.join(labels[:5])} ...)"
        )
    return labels.index(name)


def _file_name(view: Any, drawn: int) -> str:
    from .report import plots

    # Numbered: two folders may have images of one name.
    return plots.file_name(drawn, Path(view.name).stem or "image")


def _draw(
    view: Any, model: Any, explain_images: Any, number: int | None, path: Path
) -> None:
    from keras_convnext import _files
    from keras_convnext.inference.classifier import name_best

    from .report import insight_plots

    images = view.image[None]
    if model.meaning.kind == "number":
        _draw_number(view, model, explain_images, path)
        return
    [probabilities] = model.probabilities(images)
    number = int(probabilities.argmax()) if number is None else number
    # The only label of a model with one output is the second of two classes.
    shown = number if len(model.labels) > 1 else 1
    cams, slopes = checked(explain_images, images, [shown])
    image = insight_plots.Explained(
        view.image, cams[0], slopes[0], model.labels[number], probabilities[number]
    )
    with _files.replacing(path) as partial:
        partial.write_bytes(insight_plots.explained([image]))
    [(name, share)] = name_best(probabilities, model.labels, 1)
    say(f"{path}  {view.name}: {name} {share:.2%}")


def _draw_number(view: Any, model: Any, explain_images: Any, path: Path) -> None:
    """Draws what makes a number larger."""
    from keras_convnext import _files

    from .report import insight_plots

    images = view.image[None]
    [number] = model.numbers(images).tolist()
    # The only output is the second of two, as of a classifier with one.
    cams, slopes = checked(explain_images, images, [1])
    image = insight_plots.Explained(
        view.image, cams[0], slopes[0], f"{number:.5g}", None
    )
    with _files.replacing(path) as partial:
        partial.write_bytes(insight_plots.explained([image]))
    say(f"{path}  {view.name}: {number:.6g}")


command = _cli.Command(
    COMMAND, SUMMARY, options, _explain, required=("model", "out"), takes_names=True
)
main = command.main
run = command.run


if __name__ == "__main__":
    run()
