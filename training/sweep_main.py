"""`python -m training.sweep_main`: runs of a recipe with several settings."""

from __future__ import annotations

from pathlib import Path

from keras_convnext import _cli
from keras_convnext._messages import checked, say

from .sweeps.flags import suggest, training_arguments

COMMAND = "sweep"
SUMMARY = """Trains a recipe with several settings, and compares what comes of it.

  python -m training.sweep_main --recipe=demo --data=digits --workdir=runs/lr \\
      --vary=peak_lr=1e-3,3e-3 --vary=weight_decay=0.01,0.1

Every combination is a run in a folder of its own. With --samples=20 so many are
drawn at random, also from ranges: --vary="peak_lr=loguniform(1e-4,1e-2)".
The same command goes on where it was stopped; more values add runs."""


def options() -> _cli.FlagValues:
    """Returns the command's flags."""
    flags = _cli.Flags()
    flags.several_runs()
    flags.texts("vary", "FIELD=VALUE,VALUE (; between pairs); may be repeated")
    flags.integer("samples", None, "random settings instead of all", 1)
    flags.integer("sample_seed", 0, "of the random settings")
    return flags.values


def _sweep(chosen: _cli.FlagValues) -> int:
    from .sweeps import settings

    varied = [checked(settings.parse, text) for text in chosen.vary]
    if chosen.samples:
        combinations = settings.sample(varied, chosen.samples, chosen.sample_seed)
    else:
        combinations = checked(settings.grid, varied)
    _cli.import_tensorflow()
    from .sweeps import outputs, plan, train

    folder = Path(chosen.workdir)
    planned = plan.plan(
        chosen.recipe, chosen.set, chosen.weights, combinations, folder, chosen.data
    )
    plan.load_data(planned[0].recipe, chosen.data, chosen.skip_bad_images)
    say(f"{len(planned)} runs, each in a folder of {folder}")
    problems = train.train_all(planned, training_arguments(chosen))
    metric = plan.metric_of(planned)
    rows = outputs.collect(planned, problems, metric)
    outputs.say_table(rows, metric)
    table = outputs.write_table(folder, rows, metric)
    title = f"Sweep of {chosen.recipe} on {chosen.data}"
    summary = f"{len(rows)} runs, {len(problems)} of them failed."
    sections = [
        outputs.runs_section(rows, metric),
        outputs.settings_section(rows, metric),
        outputs.curves(rows, metric),
    ]
    page = outputs.write_page(folder, title, summary, sections)
    say(f"table {table}, report {page}")
    train.require_success(problems, len(planned))
    return 0


command = _cli.Command(
    COMMAND,
    SUMMARY,
    options,
    _sweep,
    required=("recipe", "data", "workdir", "vary"),
    suggest=suggest,
)
main = command.main
run = command.run


if __name__ == "__main__":
    run()
