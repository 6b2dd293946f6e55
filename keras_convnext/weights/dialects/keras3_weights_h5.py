"""Names in the store of Keras 3, `.weights.h5`, which has no layers' names.

It numbers the layers of each class in the order of the model ("layers/dense_3"), so
a name only means something once the depths are known; they show in the widths of
the depthwise kernels. The rules here replay the order in which a model's layers are
made and count along. A model inside of a model has a store of its own within
("layers/functional/layers/dense_3").
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from keras_convnext.weights.dialects.keras_applications import KERAS_APPLICATIONS
from keras_convnext.weights.dialects.native import NATIVE
from keras_convnext.weights.dialects.table import Match, Table
from keras_convnext.weights.errors import WeightsMismatchError
from keras_convnext.weights.layouts import kind_of
from keras_convnext.weights.tensor_file import TensorInfo

_STORED = re.compile(r"(?:[^/]+/)*layers/.+/vars/\d+")
# A layer of a subclassed model stands under the name of its attribute.
_NUMBERED = re.compile(r"(^|/)vars/\d+$")
# Where a store within the store begins.
_INNER = re.compile(r"(?:^|(?<=/))layers/")
_MOST_STORES = 64
_KERNEL = ("kernel", "bias")
_SCALE = ("gamma", "beta")
# What "vars/0" and "vars/1" are, by the class of the layer.
VARIABLES = {
    "conv2d": _KERNEL,
    "conv2d_transpose": _KERNEL,
    "depthwise_conv2d": _KERNEL,
    "dense": _KERNEL,
    "layer_normalization": _SCALE,
    "layer_norm": _SCALE,
    "rms_norm": _SCALE,
    "simple_norm": _SCALE,
    "layer_scale": _SCALE,
    "global_response_normalization": _SCALE,
    "pyramid_conv2d": _KERNEL,
    "batch_normalization": (*_SCALE, "moving_mean", "moving_variance"),
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
    """Returns which tensor is which, None if the file is not such a store.

    Raises:
        WeightsMismatchError: It holds several networks that are equally complete.
    """
    if not all(_NUMBERED.search(name) for name in tensors):
        return None
    if not any(_STORED.fullmatch(name) for name in tensors):
        return None
    matches = [_match_within(store, tensors) for store in _stores(tensors)]
    most = max(len(match.found) for match in matches)
    best = [match for match in matches if len(match.found) == most]
    if len(best) > 1 and best[0].has_stem:
        names = ", ".join(repr(match.prefix) for match in best)
        raise WeightsMismatchError(
            f"The file holds {len(best)} networks, under {names}: save the weights of "
            "the one that is wanted alone."
        )
    return best[0]


def match_own(
    names: Iterable[tuple[str, str]],
    shapes: Mapping[str, tuple[int, ...]],
    tensors: Mapping[str, TensorInfo],
) -> Match | None:
    """Returns which tensor is which of a store of a model like this one, with heads.

    Args:
        names: The name and the class, as the store spells it, of each of the model's
            layers, in order.
        shapes: The shapes of its variables by "layer/variable".
        tensors: The store's names and shapes.

    Returns:
        None unless the store has every variable of these layers, and no other.
    """
    seen: Counter[str] = Counter()
    found = {}
    for layer, kind in names:
        number = seen[kind]
        seen[kind] += 1
        stored = f"layers/{kind}_{number}" if number else f"layers/{kind}"
        for index, variable in enumerate(VARIABLES.get(kind, ())):
            if f"{layer}/{variable}" in shapes:
                found[f"{layer}/{variable}"] = f"{stored}/vars/{index}"
    # An auxiliary head, which training adds, is no layer of the model.
    own = {found[ours]: shape for ours, shape in shapes.items() if ours in found}
    there = {
        name: info.shape
        for name, info in tensors.items()
        if "seed_generator" not in name
    }
    if own != there:
        return None
    return Match(NATIVE, found, {}, ())


def _stores(names: Iterable[str]) -> list[str]:
    """Returns the prefixes before "layers/" in the names: the starts of stores."""
    found: dict[str, None] = {}
    for name in names:
        for place in _INNER.finditer(name):
            found.setdefault(name[: place.start()])
    return list(found)[:_MOST_STORES]


def _match_within(store: str, tensors: Mapping[str, TensorInfo]) -> Match:
    inner = {
        name.removeprefix(store): info
        for name, info in tensors.items()
        if name.startswith(f"{store}layers/")
    }
    table, places = KERAS_APPLICATIONS, _keras_applications(inner)
    if any(re.fullmatch(_DEPTHWISE_KERNEL, name) for name in inner) or any(
        re.fullmatch(_REMATERIALIZED_KERNEL, name) for name in inner
    ):
        table, places = NATIVE, _own(inner)
    found = {
        ours: theirs
        for ours, theirs in _numbered(places)
        if theirs in inner and _fits(table, ours, inner[theirs])
    }
    return Match(table, found, {}, ()).within(store, tensors)


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


def _stages(tensors: Mapping[str, TensorInfo], pattern: str) -> list[tuple[int, int]]:
    """Returns the width of each stage and the number of its blocks.

    Args:
        tensors: The store's names and shapes.
        pattern: The name of a depthwise kernel; its first group is the number.
    """
    widths: dict[int, int] = {}
    for name, info in tensors.items():
        found = re.fullmatch(pattern, name)
        # (height, width, channels, 1) and (height, width, 1, channels).
        if found and min(info.shape[2:], default=0) == 1:
            widths[int(found.group(1) or 0)] = max(info.shape[2:])
    in_order = [widths[number] for number in sorted(widths)]
    return [(width, len(list(run))) for width, run in groupby(in_order)]


def _shape(
    tensors: Mapping[str, TensorInfo], kind: str, number: int
) -> tuple[int, ...]:
    """Returns the shape of a kernel, () if there is no such layer."""
    stored = f"{kind}_{number}" if number else kind
    info = tensors.get(f"layers/{stored}/vars/0")
    return () if info is None else info.shape


# What has variables in networks as ours, and in those of keras.applications.
_OURS = frozenset({*VARIABLES, "normalization"}) - {
    *("layer_normalization", "batch_normalization"),
    *("pyramid_conv2d", "conv2d_transpose"),
}
_THEIRS = _OURS | {"layer_normalization"}


def _head(
    tensors: Mapping[str, TensorInfo], before: int, width: int, known: Collection[str]
) -> list[str]:
    """Returns which dense layers of a head as ours stand behind the blocks.

    Args:
        tensors: The store's names and shapes.
        before: How many dense layers the blocks have.
        width: Channels of the last stage.
        known: Classes of layers that have variables in such a network.
    """
    layers = [re.fullmatch(r"layers/([^/]+?)(_\d+)?/vars/\d+", n) for n in tensors]
    kinds = {found[1] for found in layers if found}
    shapes: list[tuple[int, ...]] = []
    while shape := _shape(tensors, "dense", before + len(shapes)):
        shapes.append(shape)
    # What else has weights is a part of somebody's own head, like more dense layers.
    if not kinds <= set(known):
        return []
    if len(shapes) == 2 and shapes[0] == (width, width):
        return ["head_hidden", "head_dense"]
    return ["head_dense"] if len(shapes) == 1 else []


def _keras_applications(tensors: Mapping[str, TensorInfo]) -> Iterator[_Place]:
    depths = [
        depth for _, depth in _stages(tensors, r"layers/conv2d(?:_(\d+))?/vars/0")
    ]
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
    blocks = sum(depths)
    has_own_norm = _shape(tensors, "layer_normalization", blocks + 1)
    for name in [] if has_own_norm else _head(tensors, 2 * blocks, 0, _THEIRS):
        yield _Place(name, "dense")


def _own(tensors: Mapping[str, TensorInfo]) -> Iterator[_Place]:
    kinds = {re.sub(r"_\d+$", "", part) for name in tensors for part in name.split("/")}
    norm = next((kind for kind in _NORMS if kind in kinds), _NORMS[0])
    remat = _REMATERIALIZED in kinds
    stages = _stages(tensors, _REMATERIALIZED_KERNEL if remat else _DEPTHWISE_KERNEL)
    widths, depths = [width for width, _ in stages], [depth for _, depth in stages]
    yield _Place("stem_conv", "conv2d")
    # Between two stages a convolution ends at the second's width.
    if len(depths) > 1 and _shape(tensors, "conv2d", 1)[3:] == (widths[0],):
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
    in_blocks = 0 if remat else 2 * sum(depths)
    for name in _head(tensors, in_blocks, widths[-1] if widths else 0, _OURS):
        yield _Place(name, "dense")


def _own_block(name: str, norm: str, remat: bool) -> Iterator[_Place]:
    inside = f"{_REMATERIALIZED}:{name}" if remat else ""
    yield _Place(f"{name}_dwconv", "depthwise_conv2d", inside)
    yield _Place(f"{name}_norm", norm, inside)
    yield _Place(f"{name}_expand", "dense", inside)
    yield _Place(f"{name}_grn", "global_response_normalization", inside)
    yield _Place(f"{name}_project", "dense", inside)
    yield _Place(f"{name}_layer_scale", "layer_scale", inside)
