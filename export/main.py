"""`python -m export.main`: a .keras file to files for other runtimes, proven."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_convnext import _cli
from keras_convnext._messages import UsageError, note

from .convert.formats import FORMATS, USUAL, in_files, refuse_unwritable
from .convert.precisions import PRECISIONS
from .model import keras_file

COMMAND = "export"
SUMMARY = """Exports a trained model and verifies each file against Keras.

  python -m export.main --model=runs/demo --out=runs/demo/export"""


def options() -> _cli.FlagValues:
    """Returns the command's flags."""
    flags = _cli.Flags()
    flags.model("logits, probabilities, sigmoid, number or features")
    flags.text("format", ",".join(USUAL), f"comma-separated: {', '.join(FORMATS)}")
    flags.text("precision", "float32", f"comma-separated: {', '.join(PRECISIONS)}")
    flags.text("out", None, "output folder")
    flags.text("calibration", None, "images for int8: folder:, array: ... [the run's]")
    flags.integer("batch", 1, "images per call, but of a SavedModel; 0 for any", 0)
    flags.switch("any_size", False, "files for any height and width")
    flags.text("images", None, "images for the comparison, likewise [the run's]")
    flags.integer("most_images", None, "of them, at most [128, or more small ones]", 1)
    flags.text(
        "default_signature", "bytes", "serving_default: bytes, images or tensors"
    )
    flags.switch("fold", True, "fold norms and scales into the weights")
    flags.switch("flip", False, "answer with the mean over an image and its mirror")
    flags.renamed("pictures", "images")
    flags.renamed("most_pictures", "most_images")
    return flags.values


def chosen_of(flag: str, text: str, known: tuple[str, ...]) -> list[str]:
    """Returns the words of a comma-separated flag.

    Args:
        flag: The flag's name.
        text: Its value.
        known: The words that there are.

    Raises:
        UsageError: A word is not known, or there is none.
    """
    words = list(dict.fromkeys(word.strip() for word in text.split(",")))
    unknown = [word for word in words if word not in known]
    if unknown:
        raise UsageError(
            f"--{flag}: unknown {', '.join(repr(word) for word in unknown)}; "
            f"there are {', '.join(known)}"
        )
    return words


def _export(values: _cli.FlagValues) -> int:
    formats = chosen_of("format", values.format, tuple(FORMATS))
    precisions = chosen_of("precision", values.precision, tuple(PRECISIONS))
    (default,) = chosen_of(
        "default_signature", values.default_signature, ("bytes", "images", "tensors")
    )
    refuse_unwritable(formats, precisions)
    if "web" in formats and (values.any_size or values.batch != 1):
        flag = "--any_size" if values.any_size else f"--batch={values.batch}"
        raise UsageError(f"{flag} is not for --format=web, whose page asks one image")
    is_name = keras_file.names_a_checkpoint(values.model)
    file = None if is_name else keras_file.find(values.model)
    _cli.import_tensorflow()
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
    if in_files(formats) and integers:
        if values.any_size:
            raise UsageError(
                f"--any_size is not for {' and '.join(integers)}, whose ranges are "
                "measured at one size"
            )
        measured = calibration.find(values.calibration, file)
        if values.calibration is None:
            note(
                COMMAND,
                f"ranges are measured on {len(measured.numbers)} of "
                f"{measured.image_set.words}",
            )
        if values.batch > calibration.LEAST_IMAGES:
            raise UsageError(
                f"--batch={values.batch} is more than the {calibration.LEAST_IMAGES} "
                "images that calibration may consist of"
            )
    others = measured.others if measured else None
    origin = comparison.find(values.images, file, others)
    with Staging(Path(values.out).expanduser()) as staging:
        loaded = (
            loaded_model.load(file, values.output, values.normalization)
            if file
            else published.load(values.model)
        )
        for notice in loaded.notices:
            note(COMMAND, notice)
        if values.flip:
            loaded = pipeline.flipped(loaded)
        formats = _possible(formats, loaded, values["format"].present)
        if files := in_files(formats):
            pipeline.refuse_impossible(loaded, files, precisions, values.any_size)
        most = values.most_images or pipeline.enough_images(loaded)
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
        pipeline.run(loaded, compared, request, staging)
    return 0


def _possible(formats: list[str], loaded: Any, is_told: bool) -> list[str]:
    """Returns the formats that a model can be written in.

    Args:
        formats: What is wanted.
        loaded: The model.
        is_told: Whether the caller has named them.

    Raises:
        UsageError: One that the caller has named is not possible.
    """
    from .model import float32

    quantized = float32.quantized_layers(loaded.model)
    if not quantized or not in_files(formats):
        return formats
    reason = (
        f"Keras has quantized {len(quantized)} layers of {loaded.name} "
        f"({quantized[0]}, ...), which the TFLite converter cannot take: for a TFLite "
        "file export the model as it was before, with --precision=int8"
    )
    if is_told:
        raise UsageError(
            f"{reason}; --format=saved_model writes a SavedModel of this one"
        )
    note(COMMAND, f"no TFLite file: {reason}")
    return [name for name in formats if name not in in_files(formats)]


command = _cli.Command(COMMAND, SUMMARY, options, _export, required=("model", "out"))
main = command.main
run = command.run


if __name__ == "__main__":
    run()
