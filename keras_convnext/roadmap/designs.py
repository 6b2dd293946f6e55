"""The designs on the road, each made from the one before by one named change."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

EXPANSION = 4  # the wide side of a bottleneck over its narrow one
REGIMES = ("resnet50", "resnet200")


@dataclass(frozen=True)
class Design:
    """The shape of one network on the road.

    Attributes:
        depths: Blocks in each stage.
        width: Channels of the first stage: of a bottleneck's narrow side. Each
            stage has twice those of the one before.
        stem: "pooled" (a strided 7x7 convolution and a max-pool, ResNet's) or
            "patchify" (one convolution over patches that do not overlap).
        spatial: "dense" (every output channel sees every input channel) or
            "depthwise" (only its own).
        bottleneck: "narrow" (wide outside, narrow inside) or "inverted".
        spatial_place: "middle" (between the two 1x1 convolutions) or "first".
        kernel_px: Side of the spatial convolution's kernel.
        activation: "relu" or "gelu".
        activations: "all" (after every convolution, the last one's after the
            addition) or "one" (between the two 1x1 convolutions).
        norms: "all" (after every convolution) or "one" (after the spatial one).
        norm: "batch" or "layer".
        downsampling: "in_block" (the first block of a stage halves the image) or
            "separate" (a norm and a 2x2 convolution between stages, and norms after
            the stem and before the classifier).

    Example:
        >>> from keras_convnext import roadmap
        >>> roadmap.Design(depths=(3, 4, 6, 3), width=64).activation
        'relu'
    """

    depths: tuple[int, ...]
    width: int
    stem: str = "pooled"
    spatial: str = "dense"
    bottleneck: str = "narrow"
    spatial_place: str = "middle"
    kernel_px: int = 3
    activation: str = "relu"
    activations: str = "all"
    norms: str = "all"
    norm: str = "batch"
    downsampling: str = "in_block"

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {getattr(self, name)!r}, not {' or '.join(map(repr, choices))}"
            for name, choices in _CHOICES.items()
            if getattr(self, name) not in choices
        ]
        if not self.depths or min(self.depths) < 1:
            problems.append(f"depths are {self.depths}, not one number from 1 a stage")
        if self.width < 1:
            problems.append(f"width is {self.width}, not at least 1")
        if self.kernel_px < 1 or self.kernel_px % 2 == 0:
            problems.append(f"kernel_px is {self.kernel_px}, not an odd number")
        if problems:
            raise ValueError(f"Not a design: {'; '.join(problems)}.")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the bottleneck's narrow side in each stage."""
        return tuple(self.width * 2**stage for stage in range(len(self.depths)))


_CHOICES = {
    "stem": ("pooled", "patchify"),
    "spatial": ("dense", "depthwise"),
    "bottleneck": ("narrow", "inverted"),
    "spatial_place": ("middle", "first"),
    "activation": ("relu", "gelu"),
    "activations": ("all", "one"),
    "norms": ("all", "one"),
    "norm": ("batch", "layer"),
    "downsampling": ("in_block", "separate"),
}


@dataclass(frozen=True)
class Step:
    """One step of the road.

    Attributes:
        name: What `build` calls it.
        after: The step whose design it changes; None for the start.
        section: Where the paper takes the step.
        title: What it does, in a few words.
        changes: The fields of `Design` that it sets.
        regime_changes: What it sets in one regime on top or instead.

    Example:
        >>> from keras_convnext import roadmap
        >>> [step.name for step in roadmap.ROAD][:3]
        ['resnet50', 'stage_ratio', 'patchify']
    """

    name: str
    after: str | None
    section: str
    title: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    regime_changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def changes_in(self, regime: str) -> dict[str, Any]:
        """Returns the fields that the step sets in a regime."""
        return {**self.changes, **self.regime_changes.get(regime, {})}


_START = {
    "resnet50": Design(depths=(3, 4, 6, 3), width=64),
    "resnet200": Design(depths=(3, 24, 36, 3), width=64),
}

_MICRO = "section 2.6"
_KERNEL = "section 2.5, increasing the kernel size"

ROAD = (
    Step("resnet50", None, "section 2.1", "ResNet"),
    Step(
        "stage_ratio",
        "resnet50",
        "section 2.2, changing stage compute ratio",
        "stage ratio 1:1:3:1 (ResNet-200: 1:1:9:1)",
        {"depths": (3, 3, 9, 3)},
        # Taking blocks away halves the ResNet-200, so the paper widens what is
        # left in the same step. Source: table 11.
        {"resnet200": {"depths": (3, 3, 27, 3), "width": 84}},
    ),
    Step(
        "patchify",
        "stage_ratio",
        "section 2.2, changing stem to patchify",
        "patchify stem",
        {"stem": "patchify"},
    ),
    Step(
        "depthwise",
        "patchify",
        "section 2.3",
        "depthwise convolution",
        {"spatial": "depthwise"},
    ),
    Step(
        "width",
        "depthwise",
        "section 2.3",
        "more channels",
        {},
        {"resnet50": {"width": 96}, "resnet200": {"width": 128}},
    ),
    Step(
        "inverted_bottleneck",
        "width",
        "section 2.4",
        "inverted bottleneck",
        {"bottleneck": "inverted"},
    ),
    Step(
        "move_depthwise_up",
        "inverted_bottleneck",
        "section 2.5, moving up depthwise conv layer",
        "depthwise convolution first",
        {"spatial_place": "first"},
    ),
    *(
        Step(
            f"kernel_{size}",
            "move_depthwise_up",
            _KERNEL,
            f"kernel {size}x{size}",
            {"kernel_px": size},
        )
        for size in (5, 7, 9, 11)
    ),
    Step(
        "gelu",
        "kernel_7",
        f"{_MICRO}, replacing ReLU with GELU",
        "ReLU to GELU",
        {"activation": "gelu"},
    ),
    Step(
        "fewer_activations",
        "gelu",
        f"{_MICRO}, fewer activation functions",
        "one activation a block",
        {"activations": "one"},
    ),
    Step(
        "fewer_norms",
        "fewer_activations",
        f"{_MICRO}, fewer normalization layers",
        "one norm a block",
        {"norms": "one"},
    ),
    Step(
        "layer_norm",
        "fewer_norms",
        f"{_MICRO}, substituting BN with LN",
        "batch norm to layer norm",
        {"norm": "layer"},
    ),
    Step(
        "separate_downsampling",
        "layer_norm",
        f"{_MICRO}, separate downsampling layers",
        "separate downsampling: ConvNeXt",
        {"downsampling": "separate"},
    ),
)

STEPS: tuple[str, ...] = tuple(step.name for step in ROAD)
STEP_BY_NAME: Mapping[str, Step] = MappingProxyType({s.name: s for s in ROAD})


def _walk(regime: str) -> Mapping[str, Design]:
    designs: dict[str, Design] = {}
    for step in ROAD:
        before = _START[regime] if step.after is None else designs[step.after]
        designs[step.name] = replace(before, **step.changes_in(regime))
    return MappingProxyType(designs)


_DESIGNS: Mapping[str, Mapping[str, Design]] = MappingProxyType(
    {regime: _walk(regime) for regime in REGIMES}
)


def design(step: str, regime: str = "resnet50") -> Design:
    """Returns the design that a step ends at.

    Args:
        step: One of `STEPS`.
        regime: "resnet50" (ends at ConvNeXt-T) or "resnet200" (at ConvNeXt-B).

    Raises:
        ValueError: There is no such step or regime.

    Example:
        >>> from keras_convnext import roadmap
        >>> roadmap.design("patchify").stem
        'patchify'
    """
    problems = []
    if step not in STEPS:
        closest = difflib.get_close_matches(str(step), STEPS, n=1, cutoff=0.0)[0]
        problems.append(
            f"there is no step {step!r} (the closest is {closest!r}); the steps are "
            f"{', '.join(STEPS)}"
        )
    if regime not in REGIMES:
        problems.append(f"regime is {regime!r}, not {' or '.join(map(repr, REGIMES))}")
    if problems:
        raise ValueError(f"Not a step of the road: {'; '.join(problems)}.")
    return _DESIGNS[regime][step]


def reduced(
    full: Design, depth_factor: float = 1.0, width_factor: float = 1.0
) -> Design:
    """Returns a design made smaller, by the same rule whatever the step.

    Args:
        full: The design.
        depth_factor: Factor on the blocks of each stage, in (0, 1]; halves are
            rounded up, and at least one block stays.
        width_factor: Factor on the channels, in (0, 1]; likewise.

    Raises:
        ValueError: A factor is not in (0, 1].

    Example:
        >>> from keras_convnext import roadmap
        >>> roadmap.reduced(roadmap.design("patchify"), depth_factor=0.5).depths
        (2, 2, 5, 2)
    """
    factors = {"depth_factor": depth_factor, "width_factor": width_factor}
    problems = [
        f"{n} is {f}, not in (0, 1]" for n, f in factors.items() if not 0 < f <= 1
    ]
    if problems:
        raise ValueError(f"No design is made smaller so: {'; '.join(problems)}.")
    return replace(
        full,
        depths=tuple(_scaled(depth, depth_factor) for depth in full.depths),
        width=_scaled(full.width, width_factor),
    )


def _scaled(count: int, factor: float) -> int:
    return max(1, math.floor(count * factor + 0.5))
