"""Names in the store of Keras 3, `.weights.h5`, which has no layers' names.

It numbers the layers of each class in the order of the model ("layers/dense_3"), so
a name only means something once the depths are known; they show in the widths of
the depthwise kernels. The rules here replay the order in which a model's layers are
made and count along.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from keras_convnext.weights.dialects.keras_applications import NAMED
from keras_convnext.weights.dialects.own import OWN
from keras_convnext.weights.dialects.table import Match, Table
from keras_convnext.weights.layouts import kind_of
from keras_convnext.weights.tensor_file import TensorInfo

_STORED = re.compile(r"layers/.+/vars/\d+")
_KERNEL = ("kernel", "bias")
_SCALE = ("gamma", "beta")
# What "vars/0" and "vars/1" are, by the class of the layer.
VARIABLES = {
    "conv2d": _KERNEL,
    "depthwise_conv2d": _KERNEL,
    "dense": _KERNEL,
    "layer_normalization": _SCALE,
    "layer_norm": _SCALE,
    "rms_norm": _SCALE,
    "simple_norm": _SCALE,
    "layer_scale": _SCALE,
    "global_response_normalization": _SCALE,
}
_NORMS = ("layer_norm", "rms_norm", "simple_norm")
_REMATERIALIZED = "rematerialized"
_DEPTHWISE_KERNEL = r"layers/depthwise_conv2d(?:_(\d+))?/vars/0"
_REMATERIALIZED_KERNEL = (
    r"layers/rematerialized(?:_(\d+))?/layers/depthwise_conv2d/vars/0"
)


@dataclass(frozen=True)
class _Place:
    """A layer of the replay: our name, its class, and the layer it is part of."""

    layer: str
    kind: str
    inside: str = ""


def match_store(tensors: Mapping[str, TensorInfo]) -> Match | None:
    """Returns which tensor is which, None if the file is not such a store."""
    if not tensors or not all(_STORED.fullmatch(name) for name in tensors):
        return None
    table, places = NAMED, _keras_applications(tensors)
    if any("depthwise_conv2d" in name for name in tensors):
        table, places = OWN, _own(tensors)
    found = {
        ours: theirs
        for ours, theirs in _numbered(places)
        if theirs in tensors and _fits(table, ours, tensors[theirs])
    }
    known = set(found.values())
    return Match(table, found, {}, tuple(name for name in tensors if name not in known))


def _fits(table: Table, ours: str, info: TensorInfo) -> bool:
    return table.layout.shape(kind_of(ours), info.shape) is not None


def _numbered(places: Iterator[_Place]) -> Iterator[tuple[str, str]]:
    """Yields our name and the store's for every variable of every layer."""
    seen: Counter[tuple[str, str]] = Counter()
    insides: dict[str, str] = {}
    for place in places:
        if place.inside and place.inside not in insides:
            kind = place.inside.partition(":")[0]
            insides[place.inside] = f"layers/{_next(seen, '', kind)}/"
        prefix = insides.get(place.inside, "")
        stored = f"{prefix}layers/{_next(seen, place.inside, place.kind)}"
        for index, variable in enumerate(VARIABLES[place.kind]):
            yield f"{place.layer}/{variable}", f"{stored}/vars/{index}"


def _next(seen: Counter[tuple[str, str]], inside: str, kind: str) -> str:
    number = seen[inside, kind]
    seen[inside, kind] += 1
    return f"{kind}_{number}" if number else kind


def _depths(tensors: Mapping[str, TensorInfo], pattern: str) -> list[int]:
    """Returns the number of blocks in each stage.

    Args:
        tensors: The store's names and shapes.
        pattern: The name of a depthwise kernel; its first group is the number.
    """
    widths: dict[int, int] = {}
    for name, info in tensors.items():
        found = re.fullmatch(pattern, name)
        if found:
            # (height, width, channels, 1) and (height, width, 1, channels).
            widths[int(found.group(1) or 0)] = max(info.shape[2:], default=0)
    depths: list[int] = []
    before = None
    for number in sorted(widths):
        if widths[number] != before:
            depths.append(0)
        depths[-1] += 1
        before = widths[number]
    return depths


def _count(tensors: Mapping[str, TensorInfo], kind: str) -> int:
    """Returns how many layers of a class the model itself has."""
    return sum(bool(re.fullmatch(rf"layers/{kind}(_\d+)?/vars/0", n)) for n in tensors)


def _keras_applications(tensors: Mapping[str, TensorInfo]) -> Iterator[_Place]:
    depths = _depths(tensors, r"layers/conv2d(?:_(\d+))?/vars/0")
    yield _Place("stem_conv", "conv2d", "sequential:0")
    yield _Place("stem_norm", "layer_normalization", "sequential:0")
    # The four stems and downsamplings are made before the first block.
    for stage in range(1, len(depths)):
        inside, name = f"sequential:{stage}", f"stage{stage}_downsample"
        yield _Place(f"{name}_norm", "layer_normalization", inside)
        yield _Place(f"{name}_conv", "conv2d", inside)
    for stage, depth in enumerate(depths):
        for block in range(depth):
            name = f"stage{stage}_block{block}"
            yield _Place(f"{name}_dwconv", "conv2d")
            yield _Place(f"{name}_norm", "layer_normalization")
            yield _Place(f"{name}_expand", "dense")
            yield _Place(f"{name}_project", "dense")
            yield _Place(f"{name}_layer_scale", "layer_scale")
    yield _Place("head_norm", "layer_normalization")
    yield _Place("head_dense", "dense")


def _own(tensors: Mapping[str, TensorInfo]) -> Iterator[_Place]:
    kinds = {re.sub(r"_\d+$", "", part) for name in tensors for part in name.split("/")}
    norm = next((kind for kind in _NORMS if kind in kinds), _NORMS[0])
    remat = _REMATERIALIZED in kinds
    depths = _depths(tensors, _REMATERIALIZED_KERNEL if remat else _DEPTHWISE_KERNEL)
    # One convolution between each two stages, the others in the stem.
    in_stem = _count(tensors, "conv2d") - (len(depths) - 1)
    yield _Place("stem_conv", "conv2d")
    if in_stem > 1:
        yield _Place("stem_conv2", "conv2d")
    if len(depths) > 1:
        yield _Place("stem_norm", norm)
    for stage, depth in enumerate(depths):
        if stage:
            yield _Place(f"stage{stage}_downsample_norm", norm)
            yield _Place(f"stage{stage}_downsample_conv", "conv2d")
        for block in range(depth):
            yield from _own_block(f"stage{stage}_block{block}", norm, remat)
    yield _Place("head_norm", norm)
    in_head = _count(tensors, "dense") - (0 if remat else 2 * sum(depths))
    if in_head > 1:
        yield _Place("head_hidden", "dense")
    yield _Place("head_dense", "dense")


def _own_block(name: str, norm: str, remat: bool) -> Iterator[_Place]:
    inside = f"{_REMATERIALIZED}:{name}" if remat else ""
    yield _Place(f"{name}_dwconv", "depthwise_conv2d", inside)
    yield _Place(f"{name}_norm", norm, inside)
    yield _Place(f"{name}_expand", "dense", inside)
    yield _Place(f"{name}_grn", "global_response_normalization", inside)
    yield _Place(f"{name}_project", "dense", inside)
    yield _Place(f"{name}_layer_scale", "layer_scale", inside)
