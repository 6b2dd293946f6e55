"""`python -m export.main`: a .keras file to SavedModel and TFLite, proven."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from absl import flags

from . import console
from .console import Mistake
from .convert.precisions import FORMATS, PRECISIONS
from .images.image_sets import SPECS
from .model import keras_file

COMMAND = "export"
SUMMARY = """Exports a trained model and proves that each file agrees with Keras.

  python -m export.main --model=runs/demo/model.keras --format=saved_model,tflite \\
      --out=runs/demo/export"""


def options() -> flags.FlagValues:
    """Returns the command's flags."""
    values = flags.FlagValues()

    def text(name: str, default: str | None, what: str) -> None:
        shown = f"{what} [{default}]" if default else what
        flags.DEFINE_string(name, default, shown, flag_values=values)

    text("model", None, "a .keras file, a training workdir, or a checkpoint's name")
    text("output", None, "logits, probabilities, sigmoid, features; where it is open")
    text("normalization", None, "imagenet, unit, symmetric, none; where it is open")
    text("format", ",".join(FORMATS), "what to write, separated by commas")
    text("precision", "float32", f"of: {', '.join(PRECISIONS)}")
    text("out", None, "folder for the files")
    text("calibration", None, f"int8's: {SPECS} [the run's]")
    flags.DEFINE_integer(
        "batch",
        1,
        "pictures a call of a TFLite file; 0 for any number [1]",
        lower_bound=0,
        flag_values=values,
    )
    flags.DEFINE_bool(
        "any_size",
        False,
        "leave a TFLite file's height and width open [false]",
        flag_values=values,
    )
    text("pictures", None, "to compare on, likewise; else what the workdir held back")
    flags.DEFINE_integer(
        "most_pictures",
        None,
        "to compare on [128, more of small ones]",
        lower_bound=1,
        flag_values=values,
    )
    text("default_signature", "bytes", "serving_default: bytes, images or tensors")
    flags.DEFINE_bool(
        "fold",
        True,
        "fold norms and scales into the weights [true]",
        flag_values=values,
    )
    return values


def chosen_of(flag: str, text: str, known: tuple[str, ...]) -> list[str]:
    """Returns the words of a comma-separated flag.

    Args:
        flag: The flag's name.
        text: Its value.
        known: The words that there are.

    Raises:
        Mistake: A word is not known, or there is none.
    """
    words = list(dict.fromkeys(word.strip() for word in text.split(",")))
    unknown = [word for word in words if word not in known]
    if unknown:
        raise Mistake(
            f"--{flag}: unknown {', '.join(repr(word) for word in unknown)}; "
            f"there are {', '.join(known)}"
        )
    return words


def main(argv: list[str]) -> int:
    """Runs the command.

    Args:
        argv: The program's name and its arguments.

    Returns:
        The exit code: 0 for success, 1 where a file does not agree with Keras, 2
        after a mistake of the caller's.
    """
    return console.run_command(COMMAND, lambda: _export(argv), flags.Error)


def _export(argv: list[str]) -> int:
    values = options()
    if {"--help", "-h", "-help"} & set(argv[1:]):
        print(console.help_text(SUMMARY, values))
        return 0
    left = values(argv)[1:]
    if left:
        raise Mistake(f"{left[0]!r} is no flag; flags look like --out=DIR (--help)")
    missing = [f"--{name}" for name in ("model", "out") if not values[name].value]
    if missing:
        raise Mistake(f"{' and '.join(missing)} must be given; --help shows how")
    formats = chosen_of("format", values.format, FORMATS)
    precisions = chosen_of("precision", values.precision, tuple(PRECISIONS))
    (default,) = chosen_of(
        "default_signature", values.default_signature, ("bytes", "images", "tensors")
    )
    is_name = keras_file.names_a_checkpoint(values.model)
    file = None if is_name else keras_file.find(values.model)
    console.quiet_libraries()
    return _run(values, file, formats, precisions, default)


def _run(
    values: Any,
    file: Path | None,
    formats: list[str],
    precisions: list[str],
    default: str,
) -> int:
    from . import pipeline
    from .images import calibration, comparison
    from .model import loaded_model, published
    from .publish.staging import Staging

    measured = None
    integers = [name for name in precisions if PRECISIONS[name].calibrated]
    if "tflite" in formats and integers:
        if values.any_size:
            raise Mistake(
                f"--any_size is not for {' and '.join(integers)}, whose ranges are "
                "measured at one size"
            )
        measured = calibration.find(values.calibration, file)
        if values.calibration is None:
            print(
                f"{COMMAND}: ranges are measured on {len(measured.numbers)} of "
                f"{measured.origin.words}",
                file=sys.stderr,
            )
        if values.batch > calibration.LEAST_PICTURES:
            raise Mistake(
                f"--batch={values.batch} is more than the {calibration.LEAST_PICTURES} "
                "pictures that calibration may consist of"
            )
    others = measured.others if measured else None
    origin = comparison.find(values.pictures, file, others)
    with Staging(Path(values.out).expanduser()) as staging:
        loaded = (
            loaded_model.load(file, values.output, values.normalization)
            if file
            else published.load(values.model)
        )
        for notice in loaded.notices:
            print(f"{COMMAND}: {notice}", file=sys.stderr)
        formats = _possible(formats, loaded, values["format"].present)
        most = values.most_pictures or comparison.enough(loaded.preprocessing.size_px)
        compared = comparison.read(origin, most)
        request = pipeline.Request(
            formats=formats,
            precisions=[PRECISIONS[name] for name in precisions],
            default_signature=default,
            fold=values.fold,
            calibration=measured,
            batch=values.batch or None,
            any_size=values.any_size,
        )
        artefacts = pipeline.run(loaded, compared, request, staging)
    print(pipeline.table(artefacts, loaded.meaning.kind))
    return 0


def _possible(formats: list[str], loaded: Any, is_told: bool) -> list[str]:
    """Returns the formats that a model can be written in.

    Args:
        formats: What is wanted.
        loaded: The model.
        is_told: Whether the caller has named them.

    Raises:
        Mistake: One that the caller has named is not possible.
    """
    from .model import float32

    quantized = float32.quantized_layers(loaded.model)
    if not quantized or "tflite" not in formats:
        return formats
    reason = (
        f"Keras has quantized {len(quantized)} layers of {loaded.name} "
        f"({quantized[0]}, ...), which the TFLite converter cannot take: for a TFLite "
        "file export the model as it was before, with --precision=int8"
    )
    if is_told:
        raise Mistake(f"{reason}; --format=saved_model writes a SavedModel of this one")
    print(f"{COMMAND}: no TFLite file: {reason}", file=sys.stderr)
    return [name for name in formats if name != "tflite"]


def run() -> None:
    """Runs the command with the process's own arguments."""
    sys.exit(main(sys.argv))


if __name__ == "__main__":
    run()
