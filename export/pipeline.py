"""The course of an export: make each file, prove it, publish all of them or none."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from keras_convnext._messages import UsageError
from keras_convnext.folding import fold_with_reasons
from keras_convnext.inference.sidecars import LABELS, PREPROCESSING, THRESHOLDS

from .convert import formats, saved_model
from .convert.description import OUTPUT_WORDS
from .convert.files import Basis, write
from .convert.precisions import PRECISIONS, Precision
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

# Images on which every tensor of an integer file is compared.
_TRACED = 4
_WORST = 3
# Whose answers for an image and for its mirror image are averaged with --flip.
_FLIPPED = ("softmax", "sigmoid", "number")


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        formats: Their names.
        precisions: Of the files; a SavedModel is float32.
        default_signature: What a SavedModel's `serving_default` takes.
        fold: Whether norms and scales go into the weights first.
        calibration: Where images for calibration are, if a precision needs them.
        batch: Images that a file takes in a call; `None` for any number.
        any_size: Whether a file leaves height and width open.
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
    source: Source, wanted: Sequence[str], precisions: Sequence[str], any_size: bool
) -> None:
    """Checks that files of a kind can be what is asked for.

    Args:
        source: What is exported.
        wanted: The formats whose files come in several precisions.
        precisions: Their names.
        any_size: Whether height and width are left open.

    Raises:
        UsageError: They cannot.
    """
    kind = OUTPUT_KINDS[source.meaning.kind]
    for name in wanted:
        if name not in kind.formats:
            raise UsageError(
                f"--format={name} is not for {source.name}, whose answers are "
                f"{OUTPUT_WORDS[source.meaning.kind].lower()}: it can be written as "
                f"{', '.join(kind.formats)}"
            )
        if name == "web" and source.meaning.kind == "features":
            raise UsageError(
                f"--format=web shows classes, and {source.name} gives features alone"
            )
        if any_size and name in kind.one_size:
            raise UsageError(
                f"--any_size is not for --format={name} of {source.name}, whose "
                "pooling is laid out for one size there; --format=tflite takes any"
            )
    for name, reason in kind.not_in_files.items():
        if name in precisions or (any_size and name == "any_size"):
            flag = "--any_size" if name == "any_size" else f"--precision={name}"
            raise UsageError(f"{flag} is not for {source.name}: {reason}")


def flipped(source: Source) -> Source:
    """Returns a model that is to answer for an image and its mirror image together.

    Raises:
        UsageError: Its answers belong to places in the image, or are none.
    """
    kind = source.meaning.kind
    if kind not in _FLIPPED:
        raise UsageError(
            f"--flip is not for {source.name}, whose answers are "
            f"{OUTPUT_WORDS[kind].lower()}: it averages those of classes and numbers"
        )
    return replace(source, flip=True)


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
        if made.precision.name == "bfloat16" and shown.arithmetic == "f32":
            print(
                f"export: this processor has no bfloat16: {made.place} was compared in "
                "float32, with its weights in bfloat16",
                file=sys.stderr,
            )
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
    described["flip"] = source.flip
    described["folding"] = {"folded": inner is not None, "left": left}
    manifest_text = json.dumps(described, indent=2) + "\n"
    (staging.folder / manifest.NAME).write_text(manifest_text, encoding="utf-8")
    # The manifest comes last: what it names is there.
    for name in (
        *(name for made in artifacts for name in (*made.beside, made.place)),
        *((LABELS,) if source.labels else ()),
        *((THRESHOLDS,) if source.thresholds else ()),
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
    others = [name for name in request.formats if name != made.format]
    if made.format in formats.in_files([made.format]) and precisions:
        return f"nothing was written; --precision={','.join(precisions)} leaves it out"
    if others:
        return f"nothing was written; --format={','.join(others)} leaves it out"
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
    files = formats.in_files(request.formats)
    if not files:
        return
    images = None
    if request.calibration is not None:
        images = calibration.load(request.calibration, source.preprocessing, kind.view)
    basis = Basis(
        source, network, kind.of_numbers, images, request.batch, request.any_size
    )
    for name, precision in itertools.product(files, request.precisions):
        written = write(basis, name, precision, staging.folder)
        parts = [written.place, *written.beside]
        made = Artifact(
            place=written.place,
            format=name,
            precision=precision,
            bytes=sum(manifest.size_bytes(staging.folder / part) for part in parts),
            inputs=written.inputs,
            operators=tuple(written.operators),
            beside=written.beside,
            outputs=written.outputs,
        )
        if precision.calibrated and written.contents is not None:
            errors = quantization_error.measure(
                basis.exact, written.contents, reference.tensors[:_TRACED]
            )
            made = replace(made, layers=tuple(errors))
        yield made


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
    if source.thresholds:
        limits = dict(zip(source.labels, source.thresholds, strict=True))
        text = json.dumps(limits, indent=2, ensure_ascii=False) + "\n"
        (folder / THRESHOLDS).write_text(text, encoding="utf-8")
