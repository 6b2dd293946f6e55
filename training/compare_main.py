"""`python -m training.compare_main`: runs side by side on one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_convnext import _cli, _files
from keras_convnext._messages import UsageError, say

COMMAND = "compare"
SUMMARY = """Shows runs side by side: metrics, settings that differ, curves, classes.

  python -m training.compare_main runs/a runs/b --out=comparison.html

The page needs nothing beside it. Runs need not be finished."""


def options() -> _cli.FlagValues:
    """Returns the command's flags."""
    flags = _cli.Flags()
    flags.text("out", None, "an .html file")
    return flags.values


def _compare(chosen: _cli.FlagValues, named: list[str]) -> int:
    out = _cli.file_to_write("out", chosen.out, ".html")
    paths = [Path(name) for name in named]
    if len({path.resolve() for path in paths}) < max(2, len(paths)):
        raise UsageError(
            f"name two workdirs or more, each once; got {' '.join(named) or 'none'}"
        )
    _cli.import_tensorflow()
    from .sweeps import comparison, comparison_html

    if len(paths) > comparison_html.MOST_COMPARED:
        raise UsageError(
            f"{len(paths)} runs do not fit beside each other; name "
            f"{comparison_html.MOST_COMPARED} at most"
        )
    names = comparison.shortest_names(paths)
    runs = [comparison.read(*each) for each in zip(names, paths, strict=True)]
    metric = comparison.metric_of(runs)
    with _cli.writes_file("out", chosen.out):
        _files.write_text(out, comparison_html.page(runs, metric))
    _say_runs(runs, metric)
    say(f"comparison {out}")
    return 0


def _say_runs(runs: Sequence[Any], metric: Any) -> None:
    longest = max(len(run.name) for run in runs)
    for run in runs:
        value = run.metrics.get(metric.name)
        reached = "not finished" if value is None else metric.show(value)
        say(f"{run.name:<{longest}}  validation {metric.words} {reached}")


command = _cli.Command(
    COMMAND, SUMMARY, options, _compare, required=("out",), takes_names=True
)
main = command.main
run = command.run


if __name__ == "__main__":
    run()
