"""The course of an export: make each file, prove it, publish all of them or none."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from keras_convnext._messages import UsageError
from keras_convnext.folding import fold_with_reasons
from keras_convnext.inference.dense_outputs import count_labels
from keras_convnext.inference.sidecars import LABELS, PREPROCESSING

from .convert import saved_model, tflite, tflite_metadata
from .convert.precisions import PRECISIONS, Precision
from .convert.tflite_metadata import Description
from .export_error import ExportError
from .images import calibration
from .images.calibration import Calibration
from .images.comparison import ComparisonImages
from .model import float32
from .model.loaded_model import Source
from .output_kinds import OUTPUT_KINDS, OutputKind
from .publish import html_report, manifest, presentation
from .publish.manifest import Artifact
from .publish.staging import Staging
from .verify import quantization_error
from .verify.agreement import OUTPUT_WORDS

# Images on which every tensor of an integer file is compared.
_TRACED = 4
_WORST = 3
_OUTPUT_LABELS = "output_labels.txt"
# What is to be done with images before a TFLite file takes them.
_SEEN = {
    "center": "cut to its middle",
    "squash": "squashed whole",
    "keep_ratio": "a square of the image with its ratio kept",
    "fit": "whole with its ratio kept, at the upper left, and filled up with the mean "
    "color",
}


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        formats: "saved_model", "tflite".
        precisions: Of the TFLite files; a SavedModel is float32.
        default_signature: What a SavedModel's `serving_default` takes.
        fold: Whether norms and scales go into the weights first.
        calibration: Where images for calibration are, if a precision needs them.
        batch: Images that a TFLite file takes in a call; `None` for any number.
        any_size: Whether a TFLite file leaves height and width open.
    """

    formats: Sequence[str]
    precisions: Sequence[Precision]
    default_signature: str
    fold: bool = True
    calibration: Calibration | None = None
    batch: int | None = 1
    any_size: bool = False


def enough_images(source: Source) -> int:
    """Returns on how many images to compare the files with Keras.

    Args:
        source: What is exported.
    """
    kind = OUTPUT_KINDS[source.meaning.kind]
    return kind.enough_images(source.preprocessing.size_px)


def refuse_impossible(
    source: Source, precisions: Sequence[str], any_size: bool
) -> None:
    """Checks that TFLite files of a kind can be what is asked for.

    Args:
        source: What is exported.
        precisions: Their names.
        any_size: Whether height and width are left open.

    Raises:
        UsageError: They cannot.
    """
    refused = OUTPUT_KINDS[source.meaning.kind].not_in_tflite
    for name, reason in refused.items():
        if name in precisions or (any_size and name == "any_size"):
            flag = "--any_size" if name == "any_size" else f"--precision={name}"
            raise UsageError(f"{flag} is not for {source.name}: {reason}")


def run(
    source: Source, images: ComparisonImages, request: Request, staging: Staging
) -> list[Artifact]:
    """Makes and proves what is asked for, and puts it into the output folder.

    Args:
        source: What is exported.
        images: What it is compared on.
        request: What to make of it.
        staging: Where to.

    Returns:
        What was made.

    Raises:
        ExportError: A file does not agree with Keras. Nothing has been published then.
    """
    kind = OUTPUT_KINDS[source.meaning.kind]
    original, source = source, _computing_in_float32(source)
    reference = kind.ask_keras(source, images)
    precision = _precision_of(original, reference, kind)
    inner, left = _folded(source, kind) if request.fold else (None, {})
    network = kind.network(source, inner)
    artifacts: list[Artifact] = []
    for made in _make(source, network, request, reference, staging):
        shown = kind.verify(staging.folder / made.place, made.precision, reference)
        if shown.problems:
            why = "; ".join([*shown.problems, *_where(made), _without(made, request)])
            raise ExportError(f"{made.place} does not agree with Keras: {why}")
        artifacts.append(made.proven(shown))
    _write_companions(source, staging.folder)
    page = html_report.render(
        source, reference, artifacts, images.origin, kind.presentation
    )
    (staging.folder / html_report.NAME).write_text(page, encoding="utf-8")
    described = manifest.describe(
        source,
        artifacts,
        [kind.presentation.figures(made, reference) for made in artifacts],
        {"count": len(reference.names), "origin": images.origin},
        staging.out,
    )
    described["source"]["precision"] = precision
    described["folding"] = {"folded": inner is not None, "left": left}
    manifest_text = json.dumps(described, indent=2) + "\n"
    (staging.folder / manifest.NAME).write_text(manifest_text, encoding="utf-8")
    # The manifest comes last: what it names is there.
    for name in (
        *(artifact.place for artifact in artifacts),
        *((LABELS,) if source.labels else ()),
        PREPROCESSING,
        html_report.NAME,
        manifest.NAME,
    ):
        staging.publish(name)
    print(presentation.table(artifacts, reference, kind.presentation))
    return artifacts


def _computing_in_float32(source: Source) -> Source:
    """Returns the source with a model that computes in float32, as the files do."""
    try:
        return replace(source, model=float32.in_float32(source.model))
    except ValueError as error:
        raise UsageError(f"{source.name}: {error}") from error


def _precision_of(original: Source, reference: Any, kind: OutputKind) -> dict[str, Any]:
    """Returns a model's precision and its difference from float32, and prints both."""
    policies = float32.other_precisions(original.model)
    if not policies:
        return {"policies": ["float32"], "max_abs_diff": 0.0}
    difference, words = kind.difference(original, reference)
    print(
        f"export: {original.name} computes in {', '.join(policies)}, its files in "
        f"float32 with the same weights: {words}",
        file=sys.stderr,
    )
    return {"policies": policies, "max_abs_diff": difference}


def _folded(source: Source, kind: OutputKind) -> tuple[Any, dict[str, str]]:
    """Returns the folded model and why some layers stayed.

    Returns nothing for a model that folding cannot follow.
    """
    try:
        quantized = float32.quantized_layers(source.model)
        if quantized:
            raise ValueError(f"Keras has quantized {quantized[0]}")
        return fold_with_reasons(kind.graph(source))
    except ValueError as error:
        print(f"export: not folded: {error}", file=sys.stderr)
        return None, {}


def _without(made: Artifact, request: Request) -> str:
    """Says that there is no file, and how to get those that are not the refused one."""
    precisions = [p.name for p in request.precisions if p != made.precision]
    formats = [name for name in request.formats if name != made.format]
    if made.format == "tflite" and precisions:
        return f"nothing was written; --precision={','.join(precisions)} leaves it out"
    if formats:
        return f"nothing was written; --format={','.join(formats)} leaves it out"
    return "nothing was written"


def _where(made: Artifact) -> list[str]:
    """Returns the largest quantization errors of a file, in words."""
    worst = sorted(made.layers, key=lambda layer: -layer.error)[:_WORST]
    if not worst:
        return []
    told = ", ".join(f"{layer.tensor} ({layer.error:.0%})" for layer in worst)
    return [f"the largest relative errors are those of {told}"]


def _make(
    source: Source,
    network: Any,
    request: Request,
    reference: Any,
    staging: Staging,
) -> Iterator[Artifact]:
    """Writes the files into the staging folder, one at a time."""
    kind = OUTPUT_KINDS[source.meaning.kind]
    if "saved_model" in request.formats:
        version = saved_model.next_version(staging.out / saved_model.FOLDER)
        place = f"{saved_model.FOLDER}/{version}"
        folder = staging.folder / place
        folder.parent.mkdir()
        default = request.default_signature
        saved_model.write(source, network, folder, default)
        yield Artifact(
            place=place,
            format="saved_model",
            precision=PRECISIONS["float32"],
            bytes=manifest.size_bytes(folder),
            inputs=_saved_model_inputs(kind.inputs(network), default),
        )
    if "tflite" not in request.formats:
        return
    images = None
    if request.calibration is not None:
        images = calibration.load(request.calibration, source.preprocessing, kind.view)
    exact = tflite.convert(
        network, PRECISIONS["float32"], batch=request.batch, any_size=request.any_size
    )
    for precision in request.precisions:
        contents = exact
        if precision != PRECISIONS["float32"]:
            contents = tflite.convert(
                network,
                precision,
                images,
                request.batch,
                request.any_size,
                exact,
            )
        made = _packed(contents, source, precision, staging.folder, request)
        if precision.calibrated:
            errors = quantization_error.measure(
                exact, contents, reference.tensors[:_TRACED]
            )
            made = replace(made, layers=tuple(errors))
        yield made


def _packed(
    contents: bytes,
    source: Source,
    precision: Precision,
    folder: Path,
    request: Request,
) -> Artifact:
    """Writes a TFLite file with its labels."""
    file = folder / f"model_{precision.name}.tflite"
    builtin, other = tflite.operators(contents)
    if other:
        raise ExportError(
            f"{file.name} needs operators that are not TFLite's own: {', '.join(other)}"
        )
    names = packed_names(source)
    description = _description(source, next(iter(names), ""))
    file.write_bytes(tflite_metadata.with_metadata(contents, description))
    tflite.pack(file, names)
    side = source.preprocessing.size_px
    size = "height, width" if request.any_size else f"{side}, {side}"
    return Artifact(
        place=file.name,
        format="tflite",
        precision=precision,
        bytes=manifest.size_bytes(file),
        inputs={
            "tensors": f"{tflite.input_type(precision)} ({request.batch or 'batch'}, "
            f"{size}, 3) in 0..255, resized and cropped"
        },
        operators=tuple(builtin),
    )


def packed_names(source: Source) -> dict[str, Sequence[str]]:
    """Returns the lists of names that go into a TFLite file, by their file's name.

    The first has a line for each output. Of two classes that one output tells apart
    that is the second alone, so that a list of both is packed, too.
    """
    labels = source.labels
    outputs = count_labels(source.model) or len(labels)
    if labels and len(labels) != outputs:
        return {_OUTPUT_LABELS: labels[-outputs:], LABELS: labels}
    return {LABELS: labels} if labels else {}


def _description(source: Source, labels_name: str) -> Description:
    """Returns the description for a TFLite file's metadata."""
    seen = source.preprocessing
    return Description(
        name=source.name,
        description=OUTPUT_WORDS[source.meaning.kind],
        license=source.license or "",
        size_px=seen.size_px,
        image=f"RGB in 0..255, {_SEEN[seen.crop_mode]}, {seen.interpolation}; not "
        "normalized.",
        outputs=f"{OUTPUT_WORDS[source.meaning.kind]} ({source.meaning.origin})",
        labels_name=labels_name,
        of_numbers=OUTPUT_KINDS[source.meaning.kind].of_numbers,
    )


def _saved_model_inputs(inputs: Mapping[str, str], default: str) -> dict[str, str]:
    """Returns what every signature takes, the default one first."""
    return {
        "serving_default": inputs.get(default, inputs[next(iter(inputs))]),
        **inputs,
    }


def _write_companions(source: Source, folder: Path) -> None:
    labels = "".join(f"{label}\n" for label in source.labels)
    if labels:
        (folder / LABELS).write_text(labels, encoding="utf-8")
    preprocessing = json.dumps(asdict(source.preprocessing), indent=2) + "\n"
    (folder / PREPROCESSING).write_text(preprocessing, encoding="utf-8")
