"""`python -m export.convert_main SRC DST`: weights from one dialect to another."""

from __future__ import annotations

import sys
import warnings
from typing import Any

from absl import flags

from . import console
from .console import Mistake

COMMAND = "convert"
SUMMARY = """Converts a weights file to another project's names.

  python -m export.convert_main convnext_tiny.pth tiny.safetensors --to=timm

SRC is a file that any of the projects wrote (.safetensors .pth .pt .h5 .weights.h5
.keras .npz; the dialect is recognised), or a published name such as
convnext_tiny.fb_in1k. DST ends in .safetensors or .npz, or in .h5 for
keras_applications."""


def main(argv: list[str]) -> int:
    """Runs the command.

    Args:
        argv: The program's name and its arguments.

    Returns:
        The exit code: 0 for success, 2 after a mistake of the caller's.
    """
    return console.run_command(COMMAND, lambda: _convert(argv), flags.Error)


def _convert(argv: list[str]) -> int:
    values = flags.FlagValues()
    flags.DEFINE_string(
        "to",
        "timm",
        "timm, meta, huggingface, huggingface_dinov3, torchvision, openmmlab, "
        "open_clip, keras_applications or keras_convnext [timm]",
        flag_values=values,
    )
    if {"--help", "-h", "-help"} & set(argv[1:]):
        print(console.help_text(SUMMARY, values))
        return 0
    places = values(argv)[1:]
    if len(places) != 2:
        raise Mistake(f"wants SRC and DST, got {len(places)} names; --help shows how")
    console.quiet_libraries()
    from keras_convnext.weights.convert import convert

    def say(message: Warning | str, *_: Any, **__: Any) -> None:
        print(f"{COMMAND}: {message}", file=sys.stderr)

    try:
        with warnings.catch_warnings():
            warnings.showwarning = say
            report = convert(places[0], places[1], values.to)
    except (ValueError, OSError) as error:
        raise Mistake(" ".join(str(error).split())) from error
    print(report)
    print(f"written: {places[1]} ({values.to} names)")
    return 0


def run() -> None:
    """Runs the command with the process's own arguments."""
    sys.exit(main(sys.argv))


if __name__ == "__main__":
    run()
