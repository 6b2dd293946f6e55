"""`export.json`: what was exported, from what, and how near to Keras it is."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from ..convert.formats import FORMATS
from ..convert.precisions import Precision
from ..model.loaded_model import Source
from ..verify.quantization_error import LayerError
from ..verify.result import Result

NAME = "export.json"
_VERSIONS_OF = ("tensorflow", "keras", "ai-edge-litert", "numpy")


@dataclass(frozen=True)
class Artifact:
    """An exported file and, once it has one, its proof.

    Attributes:
        place: Its path inside of the output folder, with forward slashes.
        format: Its name.
        precision: Which of the precisions.
        bytes: Its size; of a SavedModel, of all files in it, otherwise with the files
            beside it.
        inputs: What it takes, by signature or input: dtype, shape and range.
        outputs: What a TFLite file gives, by output: dtype, shape and steps.
        operators: The names of those in it; empty for a SavedModel.
        layers: How far its tensors are from float32's; of integer files alone.
        beside: The names of files that it cannot do without.
        result: How it compares with Keras.
    """

    place: str
    format: str
    precision: Precision
    bytes: int
    inputs: dict[str, str]
    operators: tuple[str, ...] = ()
    layers: tuple[LayerError, ...] = ()
    beside: tuple[str, ...] = ()
    outputs: dict[str, str] = field(default_factory=dict)
    result: Result | None = None

    def proven(self, result: Result) -> Artifact:
        """Returns the same with its proof."""
        return replace(self, result=result)

    @property
    def shown(self) -> Result:
        """The proof.

        Raises:
            ValueError: There is none yet.
        """
        if self.result is None:
            raise ValueError(f"{self.place} has not been compared with Keras")
        return self.result


def size_bytes(path: Path) -> int:
    """Returns the size of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in (*_VERSIONS_OF, *packages):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            # TensorFlow comes under more than one name, tensorflow-cpu for one.
            found[name] = "unknown"
    return found


def _entry(
    artifact: Artifact,
    source: Source,
    images: dict[str, Any],
    figures: Mapping[str, Any],
) -> dict[str, Any]:
    result = artifact.shown
    return {
        "format": artifact.format,
        "precision": artifact.precision.name,
        "bytes": artifact.bytes,
        "beside": artifact.beside,
        **figures,
        "latency_ms": result.latency_ms,
        "load_ms": result.load_ms,
        "peak_memory_mb": result.peak_memory_mb,
        "arithmetic": result.arithmetic,
        "pictures": images,
        "inputs": artifact.inputs,
        "outputs": artifact.outputs,
        "operators": artifact.operators,
        "layers": [asdict(layer) for layer in artifact.layers],
        "source_sha256": source.sha256,
        "versions": _versions(FORMATS[artifact.format].packages),
    }


def describe(
    source: Source,
    artifacts: Sequence[Artifact],
    figures: Sequence[Mapping[str, Any]],
    images: dict[str, Any],
    out: Path,
) -> dict[str, Any]:
    """Returns the manifest.

    Args:
        source: What was exported.
        artifacts: What was made of it.
        figures: What each one's kind of output is measured by.
        images: How many images the proof is on, and where they are from.
        out: The output folder. What an older manifest there says of files that still
            exist and were not made anew is kept.
    """
    entries: dict[str, Any] = {}
    older = out / NAME
    if older.is_file():
        entries = json.loads(older.read_text(encoding="utf-8")).get("artefacts", {})
        entries = {
            place: entry for place, entry in entries.items() if (out / place).exists()
        }
    for artifact, measured in zip(artifacts, figures, strict=True):
        entries[artifact.place] = _entry(artifact, source, images, measured)
    return {
        "source": {
            "name": source.name,
            "license": source.license,
            "sha256": source.sha256,
            "parameters": source.model.count_params(),
            "classes": len(source.labels),
        },
        "output": {"kind": source.meaning.kind, "origin": source.meaning.origin},
        "preprocessing": asdict(source.preprocessing),
        "artefacts": entries,
    }
