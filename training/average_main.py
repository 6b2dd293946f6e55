"""`python -m training.average_main`: one model of the mean weights of several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from keras_convnext import _cli, _files
from keras_convnext._messages import UsageError, checked, note, say

from .data import run_split

if TYPE_CHECKING:
    from keras_convnext.inference.loaded_model import LoadedModel

    from .inference.averaging import Weights

COMMAND = "average"
SUMMARY = """Averages the weights of models of one architecture ("model soup").

  python -m training.average_main --model=runs/a,runs/b,runs/c --out=mean.keras

They should be fine-tuned from the same weights. With --greedy only those are
taken that the accuracy on the validation images gains from."""


def options() -> _cli.FlagValues:
    """Returns the command's flags."""
    flags = _cli.Flags()
    flags.text("model", None, "workdirs or .keras files, with commas between")
    flags.text("out", None, "a .keras file")
    flags.switch("greedy", False, "take only those that the average gains from")
    flags.data(", for --greedy [the first run's]")
    flags.integer("batch", 64, "images at a time", 1)
    flags.run_split()
    flags.skip_bad_images()
    return flags.values


def _average(chosen: _cli.FlagValues) -> int:
    out = _cli.file_to_write("out", chosen.out, ".keras")
    names = [name for name in chosen.model.split(",") if name]
    if len(names) < 2:
        raise UsageError(
            f"--model={chosen.model} is one model; give two or more, with commas "
            "between: --model=runs/a,runs/b"
        )
    chosen.model = names[0]
    _cli.import_tensorflow()
    from .inference import averaging, files_beside

    models = [checked(_load, name) for name in names]
    checked(averaging.check_alike, models)
    first = models[0].model
    weights = [loaded.model.get_weights() for loaded in models]
    taken = list(range(len(models)))
    if chosen.greedy:
        measure = _make_measure(models[0], chosen)
        taken, alone, best = averaging.pick_greedily(weights, measure)
        _say_greedy(names, taken, alone, best)
    first.set_weights(averaging.average([weights[number] for number in taken]))
    with _cli.writes_file("out", chosen.out):
        files_beside.write(out, models[0].labels, models[0].preprocessing)
        with _files.replacing(out) as file:
            first.save(file)
    if models[0].thresholds:
        note(COMMAND, "thresholds.json is not averaged: labels apply above 0.5")
    say(f"the mean of {len(taken)} of {len(names)} models in {chosen.out}")
    return 0


def _load(name: str) -> LoadedModel:
    """Returns a model, of which only files are taken.

    Raises:
        ValueError: It is none, or gives features; one line.
    """
    from keras_convnext.inference._load import find_model
    from keras_convnext.inference.loaded_model import load_model_file

    try:
        path = find_model(name)
    except FileNotFoundError as error:
        raise ValueError(str(error)) from error
    if path.suffix != ".keras":
        raise ValueError(f"{name} is no .keras file and no workdir with one")
    loaded = load_model_file(path)
    if loaded.meaning.kind == "features":
        raise ValueError(f"{name} gives features; averages are of finished models")
    return loaded


def _make_measure(
    loaded: LoadedModel, chosen: _cli.FlagValues
) -> Callable[[Weights], float]:
    """Returns a function from weights to the accuracy on the validation images.

    Raises:
        UsageError: The model is no classifier, or there are no such images.
    """
    from keras_convnext.inference.classifier import from_keras

    from . import data
    from .inference import averaging

    if loaded.meaning.kind != "softmax":
        raise UsageError(
            f"--greedy goes by accuracy, and {loaded.name} does not give each image "
            "one class; leave it out"
        )
    model = from_keras(loaded, "keras")
    spec, choice = run_split.read_flags(chosen, "validation")
    source: Any = run_split.load_and_tell(
        data.load, model, spec, choice, chosen.skip_bad_images
    )
    return averaging.make_accuracy(loaded.model, model, source, chosen.batch)


def _say_greedy(
    names: Sequence[str], taken: Sequence[int], alone: Sequence[float], best: float
) -> None:
    for number, name in enumerate(names):
        words = "left out"
        if number in taken:
            words = f"taken as number {taken.index(number) + 1}"
        say(f"  {alone[number]:7.2%}  {name}  {words}")
    say(f"  {best:7.2%}  the average, on the images that chose it")


command = _cli.Command(COMMAND, SUMMARY, options, _average, required=("model", "out"))
main = command.main
run = command.run


if __name__ == "__main__":
    run()
