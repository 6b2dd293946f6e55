"""Draws the blocks before and after: python docs/roadmap/draw_blocks.py.

What is drawn comes from `keras_convnext.roadmap`, so it is what `build` builds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from keras_convnext import roadmap
from keras_convnext.roadmap import plan

FOLDER = Path(__file__).parent
INK, FAINT = "#1f2733", "#9aa4b2"
COLORS = {
    "dense": "#b9d4f0",
    "spatial": "#f4b183",
    "norm": "#d5e8d4",
    "activation": "#fff2cc",
}
BLOCKS = {
    "blocks.png": (
        ("resnet50", "ResNet-50"),
        ("width", "depthwise, wider"),
        ("inverted_bottleneck", "inverted bottleneck"),
        ("kernel_7", "depthwise first, 7x7"),
        ("separate_downsampling", "ConvNeXt-T"),
    ),
    "micro.png": (
        ("gelu", "gelu"),
        ("fewer_activations", "fewer_activations"),
        ("fewer_norms", "fewer_norms"),
        ("layer_norm", "layer_norm"),
    ),
}
NORM_WORDS = {"batch": "batch norm", "layer": "layer norm"}
ACTIVATION_WORDS = {"relu": "ReLU", "gelu": "GELU"}


@dataclass(frozen=True)
class Box:
    """One box of a diagram.

    Attributes:
        text: What stands in it.
        kind: Key of `COLORS`.
    """

    text: str
    kind: str


def convolution_box(convolution: plan.Convolution) -> Box:
    """Returns the box of a convolution: kernel, channels, stride."""
    size = f"{convolution.kernel_px}x{convolution.kernel_px}"
    word = "depthwise " if convolution.depthwise else ""
    stride = f", /{convolution.stride_px}" if convolution.stride_px > 1 else ""
    text = f"{word}{size}, {convolution.inputs}→{convolution.outputs}{stride}"
    spatial = convolution.depthwise or convolution.kernel_px > 1
    return Box(text, "spatial" if spatial else "dense")


def branch_boxes(block: plan.Block, design: roadmap.Design) -> list[Box]:
    """Returns the boxes of a residual branch, in order."""
    boxes = []
    for convolution in block.branch:
        boxes.append(convolution_box(convolution))
        if convolution.norm:
            boxes.append(Box(NORM_WORDS[design.norm], "norm"))
        if convolution.activation:
            boxes.append(Box(ACTIVATION_WORDS[design.activation], "activation"))
    return boxes


def draw_stack(
    axes: Axes,
    title: str,
    boxes: list[Box],
    skip: Box | None = None,
    after: Box | None = None,
    rows: int = 9,
    has_skip: bool = True,
) -> None:
    """Draws boxes from top to bottom, the way around them, and what follows.

    Args:
        axes: Where.
        title: What to write above.
        boxes: The branch.
        skip: What lies on the way around; None for nothing.
        after: What follows the addition.
        rows: Rows of the diagram, so that several are of one scale.
        has_skip: Whether there is a way around.
    """
    axes.set_xlim(-1.9, 3.6 if skip else 2.4)
    axes.set_ylim(-rows - 0.5, 1.0)
    axes.set_axis_off()
    axes.set_title(title, fontsize=11, weight="bold", color=INK)
    arrow(axes, 0, 0.75, 0.36)
    for row, box in enumerate(boxes):
        draw_box(axes, 0, -row, box)
        arrow(axes, 0, -row - 0.36, -row - 0.64)
    end = -len(boxes)
    if has_skip:
        side = 2.05 if skip is None else 2.65
        route = [(0.0, 0.55), (side, 0.55), (side, end), (0.22, end)]
        axes.plot(*zip(*route, strict=True), color=FAINT, lw=1.5, zorder=0)
        if skip is not None:
            draw_box(axes, side, (0.55 + end) / 2, skip, width=1.5, height=1.5)
        axes.text(0, end, "+", ha="center", va="center", fontsize=15, color=INK)
    if after is not None:
        arrow(axes, 0, end - 0.36, end - 0.64)
        draw_box(axes, 0, end - 1, after)


def arrow(axes: Axes, x: float, start: float, end: float) -> None:
    """Draws an arrow downwards."""
    style = {"arrowstyle": "-|>", "color": FAINT, "lw": 1.2}
    axes.annotate("", (x, end), (x, start), arrowprops=style)


def draw_box(
    axes: Axes, x: float, y: float, box: Box, width: float = 3.4, height: float = 0.68
) -> None:
    """Draws one box around its center."""
    patch = FancyBboxPatch(
        (x - width / 2, y - height / 2),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.1",
        facecolor=COLORS[box.kind],
        edgecolor=FAINT,
    )
    axes.add_patch(patch)
    text = box.text.replace(", ", "\n") if width < 2 else box.text
    axes.text(x, y, text, ha="center", va="center", fontsize=9, color=INK)


def draw_blocks(name: str) -> None:
    """Draws one image of blocks that keep the size, side by side."""
    columns = BLOCKS[name]
    figure = Figure(figsize=(3.2 * len(columns), 5.8), layout="constrained")
    for axes, (step, title) in zip(
        figure.subplots(1, len(columns)), columns, strict=True
    ):
        design = roadmap.design(step)
        block = next(b for b in plan.blocks(design) if (b.stage, b.index) == (0, 1))
        after = Box(ACTIVATION_WORDS[design.activation], "activation")
        draw_stack(
            axes,
            title,
            branch_boxes(block, design),
            after=after if block.activation else None,
        )
    figure.savefig(FOLDER / name, dpi=110, facecolor="white")


def draw_downsampling() -> None:
    """Draws how the image is halved before and after the last step."""
    figure = Figure(figsize=(10.5, 4.2), layout="constrained")
    before, between, after = figure.subplots(1, 3, width_ratios=(5.5, 4.3, 4.3))
    design = roadmap.design("layer_norm")
    halving, following = (
        next(b for b in plan.blocks(design) if (b.stage, b.index) == (1, index))
        for index in (0, 1)
    )
    assert halving.shortcut is not None
    draw_stack(
        before,
        "before: in the block",
        branch_boxes(halving, design),
        skip=convolution_box(halving.shortcut),
        rows=5,
    )
    narrow, wide = design.widths[:2]
    layer = Box("layer norm", "norm")
    convolution = Box(f"2x2, {narrow}→{wide}, /2", "spatial")
    draw_stack(
        between, "after: between stages", [layer, convolution], rows=5, has_skip=False
    )
    draw_stack(after, "after: every block", branch_boxes(following, design), rows=5)
    figure.savefig(FOLDER / "downsampling.png", dpi=110, facecolor="white")


if __name__ == "__main__":
    for image in BLOCKS:
        draw_blocks(image)
    draw_downsampling()
