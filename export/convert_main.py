"""`python -m export.convert_main SRC DST`: weights from one dialect to another."""

from __future__ import annotations

from functools import partial

from keras_convnext import _cli
from keras_convnext._messages import UsageError, note, warnings_as_lines

COMMAND = "convert"
SUMMARY = """Converts a weights file to another project's names.

  python -m export.convert_main convnext_tiny.pth tiny.safetensors --to=timm

SRC is a file that any of the projects wrote (.safetensors .pth .pt .h5 .weights.h5
.keras .npz; the dialect is recognized), or a published name such as
convnext_tiny.fb_in1k. DST ends in .safetensors or .npz, or in .h5 for
keras_applications."""


def options() -> _cli.FlagValues:
    """Returns the command's flags."""
    flags = _cli.Flags()
    flags.text(
        "to",
        "timm",
        "timm, meta, huggingface, huggingface_dinov3, torchvision, openmmlab, "
        "open_clip, keras_applications or keras_convnext; a UPerNet: mmseg, meta, "
        "huggingface, smp or keras_convnext",
    )
    return flags.values


def _convert(values: _cli.FlagValues, places: list[str]) -> int:
    if len(places) != 2:
        raise UsageError(
            f"wants SRC and DST, got {len(places)} names; --help shows how"
        )
    _cli.import_tensorflow()
    from keras_convnext.weights.convert import convert

    try:
        with warnings_as_lines(partial(note, COMMAND)):
            report = convert(places[0], places[1], values.to)
    except (ValueError, OSError) as error:
        raise UsageError(" ".join(str(error).split())) from error
    print(report)
    print(f"written: {places[1]} ({values.to} names)")
    return 0


command = _cli.Command(COMMAND, SUMMARY, options, _convert, takes_names=True)
main = command.main
run = command.run


if __name__ == "__main__":
    run()
