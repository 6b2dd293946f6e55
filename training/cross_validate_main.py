"""`python -m training.cross_validate_main`: a recipe's figures over k folds."""

from __future__ import annotations

from pathlib import Path

from keras_convnext import _cli
from keras_convnext._messages import say

from .sweeps.flags import suggest, training_arguments

COMMAND = "cross_validate"
SUMMARY = """Trains a recipe once for each fold and validates on that fold's images.

  python -m training.cross_validate_main --recipe=demo --data=digits --folds=5 \\
      --workdir=runs/folds

Each fold has its share of every class and is a run in a folder of its own. At
the end there are mean and standard deviation of all metrics, and the
probabilities of every image by the run that was not trained on it.
The same command goes on where it was stopped."""


def options() -> _cli.FlagValues:
    """Returns the command's flags."""
    flags = _cli.Flags()
    flags.several_runs()
    flags.integer("folds", 5, "how many", 2)
    return flags.values


def _cross_validate(chosen: _cli.FlagValues) -> int:
    _cli.import_tensorflow()
    from .sweeps import folds, outputs, plan, train

    folder = Path(chosen.workdir)
    settings = folds.settings(chosen.folds)
    planned = plan.plan(
        chosen.recipe, chosen.set, chosen.weights, settings, folder, chosen.data
    )
    source = folds.load_whole(planned, chosen)
    images = source.train_examples + source.validation_examples
    say(f"{chosen.folds} folds of {images:,} images, each run in a folder of {folder}")
    problems = train.train_all(planned, training_arguments(chosen))
    metric = plan.metric_of(planned)
    rows = outputs.collect(planned, problems, metric)
    table = outputs.write_table(folder, rows, metric)
    train.require_success(problems, len(planned))
    joined = folds.predict(planned, source, chosen)
    summary = folds.summarize(planned, joined)
    suspected = folds.suspect_labels(joined)
    folds.write(folder, summary, joined, suspected)
    folds.say_summary(summary)
    say(f"images whose labels are probably wrong: {folder / folds.LABEL_ERRORS}")
    title = f"{chosen.folds} folds: {chosen.recipe} on {chosen.data}"
    page = folds.write_page(folder, title, rows, summary, joined, suspected, metric)
    say(f"summary {folder / folds.SUMMARY}, table {table}, report {page}")
    say(
        f"probabilities of all {len(joined['labels']):,} images, each by the run that "
        f"was not trained on it: {folder / folds.PREDICTIONS}"
    )
    return 0


command = _cli.Command(
    COMMAND,
    SUMMARY,
    options,
    _cross_validate,
    required=("recipe", "data", "workdir"),
    suggest=suggest,
)
main = command.main
run = command.run


if __name__ == "__main__":
    run()
