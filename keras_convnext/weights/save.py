"""Writes a model's weights in another project's names, so that it can load them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import keras
import numpy as np
import safetensors.numpy

from keras_convnext._files import replacing
from keras_convnext.merged_weights import merged_values, own_variables
from keras_convnext.nested_layers import layers_by_name
from keras_convnext.variants import VARIANTS
from keras_convnext.weights.convnext_layers import (
    convnext_layers,
    is_norm_first,
    variables_of,
)
from keras_convnext.weights.dialects import find_dialect, tables_for
from keras_convnext.weights.dialects.table import Form, Table
from keras_convnext.weights.layouts import kind_of

_NATIVE = "keras_convnext"
_KERAS_APPLICATIONS = "keras_applications"


def save_weights_as(
    model: keras.Model, path: str | os.PathLike[str], dialect: str = "timm"
) -> Path:
    """Writes a model's weights as another project would, in float32.

    What LoRA has learnt is in the kernels that are written.

    Args:
        model: A model of this library, or one that contains one.
        path: A .safetensors or .npz file to write; .h5 for "keras_applications".
        dialect: Whose names: "timm", "meta", "huggingface", "huggingface_dinov3",
            "torchvision", "openmmlab", "open_clip", "keras_applications" or
            "keras_convnext". UPerNet's: "mmseg", "meta", "huggingface", "smp"
            (without an auxiliary head) or "keras_convnext". A detector's: "mmdet",
            "meta" or "keras_convnext".

    Returns:
        The path.

    Raises:
        ValueError: There is no such dialect or format, or the dialect has no word
            for a part of the model; the parts are named.

    Example:
        >>> import keras_convnext
        >>> model = keras_convnext.create("convnext_atto", classes=10)
        >>> keras_convnext.save_weights_as(model, "mine.safetensors", "timm").name
        'mine.safetensors'
    """
    layers = convnext_layers(model, "save_weights_as")

    def value_of(ours: str) -> np.ndarray:
        layer = layers[ours.partition("/")[0]]
        names = [f"{layer.name}/{variable.name}" for variable in own_variables(layer)]
        return merged_values(layer)[names.index(ours)].astype(np.float32)

    return write(
        {ours: tuple(each.shape) for ours, each in variables_of(layers).items()},
        value_of,
        Path(path),
        dialect,
        norm_first=_norm_first(model),
    )


def _norm_first(model: keras.Model) -> bool:
    """Whether the last norm stands before the pooling.

    Without pooling the layers of convnext_tiny_hnf are convnext_tiny's, so that only
    the name that its builder gave it is left to tell them apart.
    """
    shown = is_norm_first(model)
    if shown is not None:
        return shown
    names = {model.name, *layers_by_name(model)} & set(VARIANTS)
    return any(VARIANTS[name].head[0] == "norm" for name in names)


def write(
    shapes: Mapping[str, tuple[int, ...]],
    value_of: Callable[[str], np.ndarray],
    path: Path,
    dialect: str,
    *,
    norm_first: bool,
) -> Path:
    """Writes tensors, given by our names, under another project's.

    Args:
        shapes: Our names and shapes, in the order of the model.
        value_of: Returns a tensor by our name, in our layout.
        path: The file to write; it appears when it is whole.
        dialect: Whose names.
        norm_first: Whether the last norm stands before the pooling.

    Raises:
        ValueError: As `save_weights_as`.
    """
    dialect = find_dialect(dialect)
    _check_ending(path, dialect)
    table = _table(shapes, dialect, norm_first)
    names = table.write_names(shapes)
    tensors = {}
    for ours in shapes:
        value = value_of(ours)
        if ours in names:
            theirs, form = names[ours]
            tensors[theirs] = _laid_out(table, ours, value, form)
        elif np.any(value):
            raise ValueError(f"{dialect} files have no {ours}, which is not zero here.")
    with replacing(path) as part:
        # safetensors would make one that nobody else may read.
        part.touch()
        mode = part.stat().st_mode
        _WRITERS[path.suffix](part, tensors)
        part.chmod(mode)
    return path


def _laid_out(table: Table, ours: str, value: np.ndarray, form: Form) -> np.ndarray:
    return table.layout.write(kind_of(ours), value, form)


def _table(
    shapes: Mapping[str, tuple[int, ...]], dialect: str, norm_first: bool
) -> Table:
    """Returns the table of a dialect that has a word for every tensor."""
    candidates = [table for table in tables_for(shapes) if table.dialect == dialect]
    if not candidates:
        raise ValueError(f"{dialect} files hold no network with such heads.")
    last = [ours for ours in shapes if ours.endswith("_project/bias")][-1]
    wordless: list[str] = []
    for table in candidates:
        width = shapes[last][-1]
        if table.last_widths is not None and width not in table.last_widths:
            continue
        if norm_first and not (table.norm_first or dialect == _NATIVE):
            wordless = ["a last norm before the pooling"]
            continue
        if table.norm_first and not norm_first:
            continue
        known = set(table.write_names(shapes)) | table.zeros
        lacking = [ours for ours in shapes if ours not in known]
        if not lacking:
            return table
        if not wordless or len(lacking) < len(wordless):
            wordless = lacking
    raise ValueError(f"{dialect} files have no word for {_summed_up(wordless)}.")


def _summed_up(names: list[str]) -> str:
    """Names what every block has once: "stage*_block*_grn/gamma (in 12 places)"."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(re.sub(r"\d+", "*", name), []).append(name)
    return ", ".join(
        found[0] if len(found) == 1 else f"{pattern} (in {len(found)} places)"
        for pattern, found in alike.items()
    )


def _check_ending(path: Path, dialect: str) -> None:
    if path.suffix not in _WRITERS:
        raise ValueError(
            f"{path} does not end in one of {', '.join(_WRITERS)}, which are the "
            "formats that can be written."
        )
    if not path.parent.is_dir():
        raise ValueError(f"{path}: there is no folder {path.parent}.")
    if (path.suffix == ".h5") != (dialect == _KERAS_APPLICATIONS):
        raise ValueError(
            f"{path.name}: .h5 is for the dialect {_KERAS_APPLICATIONS}, and that for "
            f".h5; {dialect!r} goes into .safetensors or .npz."
        )


def _write_safetensors(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    # transformers refuses files that do not say whose tensors they were.
    safetensors.numpy.save_file(dict(tensors), path, metadata={"format": "pt"})


def _write_npz(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **tensors)


def _write_h5(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Lays tensors out as Keras 2 does, which keras.applications loads."""
    groups: dict[str, list[str]] = {}
    for name in tensors:
        groups.setdefault(_group(name.split("/")[0]), []).append(name)
    with h5py.File(path, "w") as file:
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.15.0"
        file.attrs["layer_names"] = [group.encode() for group in groups]
        for group, names in groups.items():
            made = file.create_group(group)
            made.attrs["weight_names"] = [f"{name}:0".encode() for name in names]
            for name in names:
                made.create_dataset(f"{name}:0", data=tensors[name])
        file.create_group("top_level_model_weights").attrs["weight_names"] = []


def _group(layer: str) -> str:
    """Returns the layer that holds it in keras.applications: stems are blocks."""
    if layer.startswith("stem_"):
        return "stem"
    if layer.startswith("downsampling_"):
        return f"downsampling_block_{layer.rsplit('_', 1)[1]}"
    return layer


_WRITERS: Mapping[str, Callable[[Path, Mapping[str, np.ndarray]], None]] = {
    ".safetensors": _write_safetensors,
    ".npz": _write_npz,
    ".h5": _write_h5,
}
