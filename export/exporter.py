"""The course of an export: make each file, prove it, publish all of them or none."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from keras_convnext.folding import fold_with_reasons
from keras_convnext.inference.sidecars import LABELS, PREPROCESSING

from . import calibration, layer_errors, manifest, proof, report, saved_model, tflite
from .calibration import Calibration
from .console import Failure
from .manifest import Artefact
from .network import Network, with_features
from .pictures import Pictures
from .precisions import PRECISIONS, Precision
from .proof import Reference
from .source import Source
from .staging import Staging

# Pictures on which every tensor of an integer file is compared.
_TRACED = 4
_WORST = 3


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        formats: "saved_model", "tflite".
        precisions: Of the TFLite files; a SavedModel is float32.
        default_signature: What a SavedModel's `serving_default` takes.
        fold: Whether norms and scales go into the weights first.
        calibration: Where pictures for calibration are, if a precision needs them.
        batch: Pictures that a TFLite file takes in a call; `None` for any number.
        any_size: Whether a TFLite file leaves height and width open.
    """

    formats: Sequence[str]
    precisions: Sequence[Precision]
    default_signature: str
    fold: bool = True
    calibration: Calibration | None = None
    batch: int | None = 1
    any_size: bool = False


def run(
    source: Source, pictures: Pictures, request: Request, staging: Staging
) -> list[Artefact]:
    """Makes and proves what is asked for, and puts it into the output folder.

    Args:
        source: What is exported.
        pictures: What it is compared on.
        request: What to make of it.
        staging: Where to.

    Returns:
        What was made.

    Raises:
        Failure: A file does not agree with Keras. Nothing has been published then.
    """
    reference = proof.ask_keras(source, pictures)
    inner, left = _folded(source) if request.fold else (None, {})
    network = Network(source.model, source.preprocessing, inner)
    artefacts: list[Artefact] = []
    for made in _make(source, network, request, reference, staging):
        shown = proof.prove(staging.folder / made.place, made.precision, reference)
        if shown.problems:
            raise Failure(
                f"{made.place} does not agree with Keras and was not exported: "
                f"{'; '.join([*shown.problems, *_where(made)])}"
            )
        artefacts.append(made.proven(shown))
    _write_companions(source, staging.folder)
    page = report.render(source, reference, artefacts, pictures.origin)
    (staging.folder / report.NAME).write_text(page, encoding="utf-8")
    described = manifest.describe(
        source, reference, artefacts, pictures.origin, staging.out
    )
    described["folding"] = {"folded": inner is not None, "left": left}
    manifest_text = json.dumps(described, indent=2) + "\n"
    (staging.folder / manifest.NAME).write_text(manifest_text, encoding="utf-8")
    # The manifest comes last: what it names is there.
    for name in (
        *(artefact.place for artefact in artefacts),
        LABELS,
        PREPROCESSING,
        report.NAME,
        manifest.NAME,
    ):
        staging.publish(name)
    return artefacts


def _folded(source: Source) -> tuple[Any, dict[str, str]]:
    """Returns the folded model and why some layers stayed.

    Returns nothing for a model that folding cannot follow.
    """
    try:
        return fold_with_reasons(with_features(source.model))
    except ValueError as error:
        print(f"export: not folded: {error}", file=sys.stderr)
        return None, {}


def _where(made: Artefact) -> list[str]:
    """Returns where in a quantised file accuracy goes, in words."""
    worst = sorted(made.layers, key=lambda layer: -layer.error)[:_WORST]
    if not worst:
        return []
    told = ", ".join(f"{layer.tensor} ({layer.error:.0%})" for layer in worst)
    return [f"the largest relative errors are those of {told}"]


def _make(
    source: Source,
    network: Network,
    request: Request,
    reference: Reference,
    staging: Staging,
) -> Iterator[Artefact]:
    """Writes the files into the staging folder, one at a time."""
    if "saved_model" in request.formats:
        version = saved_model.next_version(staging.out / saved_model.FOLDER)
        place = f"{saved_model.FOLDER}/{version}"
        folder = staging.folder / place
        folder.parent.mkdir()
        saved_model.write(source, network, folder, request.default_signature)
        yield Artefact(
            place=place,
            format="saved_model",
            precision=PRECISIONS["float32"],
            bytes=manifest.size_bytes(folder),
            inputs=_saved_model_inputs(network.size_px, request.default_signature),
        )
    if "tflite" not in request.formats:
        return
    pictures = None
    if request.calibration is not None:
        pictures = calibration.load(request.calibration, source.preprocessing)
    exact = tflite.convert(
        network, PRECISIONS["float32"], batch=request.batch, any_size=request.any_size
    )
    for precision in request.precisions:
        contents = exact
        if precision != PRECISIONS["float32"]:
            contents = tflite.convert(
                network,
                precision,
                pictures,
                request.batch,
                request.any_size,
                exact,
            )
        made = _packed(contents, source, precision, staging.folder, request)
        if precision.calibrated:
            errors = layer_errors.measure(exact, contents, reference.tensors[:_TRACED])
            made = replace(made, layers=tuple(errors))
        yield made


def _packed(
    contents: bytes,
    source: Source,
    precision: Precision,
    folder: Path,
    request: Request,
) -> Artefact:
    """Writes a TFLite file with its labels."""
    file = folder / f"model_{precision.name}.tflite"
    builtin, other = tflite.operators(contents)
    if other:
        raise Failure(
            f"{file.name} needs operators that are not TFLite's own: {', '.join(other)}"
        )
    file.write_bytes(contents)
    tflite.pack_labels(file, source.labels)
    side = source.preprocessing.size_px
    size = "height, width" if request.any_size else f"{side}, {side}"
    return Artefact(
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


def _saved_model_inputs(size_px: int, default: str) -> dict[str, str]:
    tensors = f"tensors: float32 (batch, {size_px}, {size_px}, 3) in 0..255, "
    tensors += "resized and cropped"
    inputs = {
        "bytes": "image_bytes: string (batch,), encoded JPEG, PNG, GIF, BMP or WebP",
        "images": "images: uint8 (batch, height, width, 3)",
        "tensors": tensors,
        "features": tensors,
    }
    return {"serving_default": inputs[default], **inputs}


def _write_companions(source: Source, folder: Path) -> None:
    labels = "".join(f"{label}\n" for label in source.labels)
    (folder / LABELS).write_text(labels, encoding="utf-8")
    preprocessing = json.dumps(asdict(source.preprocessing), indent=2) + "\n"
    (folder / PREPROCESSING).write_text(preprocessing, encoding="utf-8")


def table(artefacts: Sequence[Artefact]) -> str:
    """Returns a line for each file: size, difference, agreement and time.

    Args:
        artefacts: What was made.
    """
    rows = [("file", "MB", "max diff", "top-1 agreement", "ms")]
    for artefact in artefacts:
        shown = artefact.shown
        rows.append(
            (
                artefact.place,
                f"{artefact.bytes / 1e6:.1f}",
                f"{shown.max_abs_diff:.1e}",
                f"{shown.top1_agreement:.1%}",
                f"{shown.latency_ms['p50']:.1f}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *rest in rows:
        cells = [
            cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)
        ]
        lines.append("  ".join([first.ljust(widths[0]), *cells]))
    return "\n".join(lines)
