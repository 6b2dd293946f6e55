"""`python -m export.summary_main`: what a run and its export came to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from keras_convnext import _cli
from keras_convnext._messages import UsageError

from .verify.agreement import WORDS

COMMAND = "summary"
SUMMARY = """Prints accuracy, parity of each exported file, and where the images are.

  python -m export.summary_main --workdir=runs/demo --out=runs/demo/export"""


def options() -> _cli.FlagValues:
    """Returns the command's flags."""
    flags = _cli.Flags()
    flags.text("workdir", None, "a training workdir")
    flags.text("out", None, "an export's folder")
    return flags.values


def _summarize(values: _cli.FlagValues) -> int:
    workdir, out = Path(values.workdir), Path(values.out)
    metrics = _read(workdir / "metrics.json")
    exported = _read(out / "export.json")
    print(f"accuracy on validation images: {metrics['top1']:.2%}")
    for place, entry in exported["artefacts"].items():
        # Exports of 0.1.0 know the first class alone.
        what = entry.get("agreement_of", WORDS["softmax"])
        share = entry.get("agreement", entry.get("top1_agreement"))
        print(
            f"{out / place}: differs from Keras by {entry['max_abs_diff']:.1e} at "
            f"most, {what} {share:.1%} on "
            f"{entry['pictures']['count']} images"
        )
    print(f"images: {workdir / 'pictures'}")
    print(f"reports: {workdir / 'report.html'} and {out / 'report.html'}")
    return 0


def _read(path: Path) -> Any:
    """Returns the contents of a JSON file.

    Raises:
        UsageError: There is no such file, or it is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is damaged: {error}") from error


command = _cli.Command(
    COMMAND, SUMMARY, options, _summarize, required=("workdir", "out")
)
main = command.main
run = command.run


if __name__ == "__main__":
    run()
