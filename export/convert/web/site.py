"""A folder of static files: a page, a model, and the runtime that runs it there.

The page asks no other server for anything. The runtime is LiteRT.js, whose packages npm
fetches when the folder is written (Apache License 2.0, as each of its files says).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from keras_convnext.preprocessing import Preprocessing
from keras_convnext.segmentation import palette_for

from ...export_error import ExportError

PROGRAM = "npm"
_PAGE = tuple(Path(__file__).with_name(name) for name in ("index.html", "kinds.js"))
# How kinds.js calls what a model's outputs mean; all others are classes.
_KINDS = {"number": "number", "label_map": "label_map", "objects": "objects"}
# What was tried: another version may call the files otherwise.
_PACKAGES = {"core": "@litertjs/core@2.5.3", "wasm-utils": "@litertjs/wasm-utils@2.5.3"}
_SECONDS = 300
_WASM = tuple(
    f"wasm/litert_wasm_{kind}.{ending}"
    for kind in ("internal", "compat_internal", "threaded_internal")
    for ending in ("js", "wasm")
)
# For each package its members by the names that the page calls them by.
_MEMBERS = {
    "core": {"core.js": "dist/index.js", **{Path(n).name: n for n in _WASM}},
    "wasm-utils": {"wasm-utils.js": "dist/bundle.js"},
}


def write(
    file: Path, labels: Sequence[str], preprocessing: Preprocessing, kind: str
) -> tuple[str, ...]:
    """Writes what a model's file needs beside it to be asked in a browser.

    Args:
        file: A TFLite file that takes one image, in a folder of its own.
        labels: The names of its outputs.
        preprocessing: How an image becomes its input.
        kind: What its outputs mean, one of `keras_convnext.inference.outputs`.

    Returns:
        The names of the files, in that folder.

    Raises:
        ExportError: The runtime cannot be fetched; one line.
    """
    runtime = file.parent / "litert"
    runtime.mkdir()
    for name, contents in _fetch_runtime():
        (runtime / name).write_bytes(contents)
    about = {
        "file": file.name,
        "kind": _KINDS.get(kind, "classes"),
        "labels": list(labels),
        "colors": palette_for(labels).tolist(),
        "preprocessing": asdict(preprocessing),
    }
    text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
    (file.parent / "model.json").write_text(text, encoding="utf-8")
    for part in _PAGE:
        shutil.copyfile(part, file.parent / part.name)
    parts = (part.name for part in _PAGE)
    return ("model.json", *parts, *(f"litert/{name}" for name in _names()))


def _names() -> Iterator[str]:
    for members in _MEMBERS.values():
        yield from members


def _fetch_runtime() -> Iterator[tuple[str, bytes]]:
    """Yields the runtime's files by the names that the page calls them by."""
    with tempfile.TemporaryDirectory() as folder:
        command = [PROGRAM, "pack", "--silent", f"--pack-destination={folder}"]
        try:
            subprocess.run(
                [*command, *_PACKAGES.values()],
                check=True,
                capture_output=True,
                timeout=_SECONDS,
            )
        except (OSError, subprocess.SubprocessError) as error:
            told = getattr(error, "stderr", None) or str(error).encode()
            reason = told.decode(errors="replace").strip().partition("\n")[0]
            raise ExportError(
                f"npm could not fetch {' and '.join(_PACKAGES.values())}, which run a "
                f"model in the browser: {reason or 'it did not say why'}"
            ) from error
        yield from _unpack(Path(folder), _MEMBERS)


def _unpack(
    folder: Path, members: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[str, bytes]]:
    for package, wanted in members.items():
        (file,) = folder.glob(f"litertjs-{package}-*.tgz")
        with tarfile.open(file) as archive:
            for name, member in wanted.items():
                stream = archive.extractfile(f"package/{member}")
                if stream is None:
                    raise ExportError(f"{file.name} has no {member}")
                yield name, stream.read()
