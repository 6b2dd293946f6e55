"""What the paper prints for each step, and the road as a table beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from keras_convnext.roadmap import cost
from keras_convnext.roadmap.designs import REGIMES, STEP_BY_NAME, STEPS, design

# The baseline counts twice: one network, trained by two recipes.
PLAIN_RECIPE = "PyTorch"
ENHANCED_RECIPE = "enhanced"


@dataclass(frozen=True)
class Figures:
    """What the paper prints for one network.

    Attributes:
        accuracy: ImageNet-1k top-1 in percent, 300 epochs at 224x224, no EMA.
        accuracy_std: Over three seeds; None where none is printed.
        gflops: The printed cost: 10^9 multiply-accumulates.
    """

    accuracy: float
    accuracy_std: float | None
    gflops: float


# Source: arXiv:2201.03545, table 10.
_RESNET50 = {
    "resnet50": Figures(78.82, 0.07, 4.09),
    "stage_ratio": Figures(79.36, 0.07, 4.53),
    "patchify": Figures(79.51, 0.18, 4.42),
    "depthwise": Figures(78.28, 0.08, 2.35),
    "width": Figures(80.50, 0.02, 5.27),
    "inverted_bottleneck": Figures(80.64, 0.03, 4.64),
    "move_depthwise_up": Figures(79.92, 0.08, 4.07),
    "kernel_5": Figures(80.35, 0.08, 4.10),
    "kernel_7": Figures(80.57, 0.14, 4.15),
    "kernel_9": Figures(80.57, 0.06, 4.21),
    "kernel_11": Figures(80.47, 0.11, 4.29),
    "gelu": Figures(80.62, 0.14, 4.15),
    "fewer_activations": Figures(81.27, 0.06, 4.15),
    "fewer_norms": Figures(81.41, 0.09, 4.15),
    "layer_norm": Figures(81.47, 0.09, 4.46),
    "separate_downsampling": Figures(81.97, 0.06, 4.49),
}

# Source: arXiv:2201.03545, table 11.
_RESNET200 = {
    "resnet50": Figures(81.14, None, 15.01),
    "stage_ratio": Figures(81.33, None, 14.52),
    "patchify": Figures(81.59, None, 14.38),
    "depthwise": Figures(80.54, None, 7.23),
    "width": Figures(81.85, None, 16.76),
    "inverted_bottleneck": Figures(82.64, None, 15.68),
    "move_depthwise_up": Figures(82.04, None, 14.63),
    "kernel_5": Figures(82.32, None, 14.70),
    "kernel_7": Figures(82.30, None, 14.81),
    "kernel_9": Figures(82.27, None, 14.95),
    "kernel_11": Figures(82.18, None, 15.13),
    "gelu": Figures(82.19, None, 14.81),
    "fewer_activations": Figures(82.71, None, 14.81),
    "fewer_norms": Figures(83.17, None, 14.81),
    "layer_norm": Figures(83.35, None, 14.81),
    "separate_downsampling": Figures(83.60, None, 15.35),
}

FIGURES = dict(zip(REGIMES, (_RESNET50, _RESNET200), strict=True))
PLAIN_BASELINE = {
    "resnet50": Figures(76.13, None, 4.09),
    "resnet200": Figures(78.20, None, 15.01),
}


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        step: One of `STEPS`.
        recipe: "PyTorch" (the baseline's first line) or "enhanced".
        title: What the step does.
        section: Where the paper takes it.
        parameters: Trainable parameters with 1000 classes.
        multiply_accumulates: Convolutions and dense layers, one 224x224 image.
        paper: What the paper prints.
        difference: Accuracy minus that of the line it changes, in percentage
            points; None for the first line.

    Example:
        >>> from keras_convnext import roadmap
        >>> row = roadmap.table().rows[-1]
        >>> row.step, row.parameters
        ('separate_downsampling', 28589128)
    """

    step: str
    recipe: str
    title: str
    section: str
    parameters: int
    multiply_accumulates: int
    paper: Figures
    difference: float | None


@dataclass(frozen=True)
class Table:
    """The road, line by line; prints as a Markdown table.

    Attributes:
        regime: "resnet50" or "resnet200".
        rows: The baseline by two recipes, then every step.

    Example:
        >>> from keras_convnext import roadmap
        >>> len(roadmap.table("resnet200").rows)
        17
    """

    regime: str
    rows: tuple[Row, ...]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.rows[index]

    def __str__(self) -> str:
        head = (
            "| step | parameters | G multiply-accumulates (paper) | paper's top-1 | "
            "difference |\n|---|---:|---:|---:|---:|"
        )
        return "\n".join([head, *map(_line, self.rows)])


def _line(row: Row) -> str:
    spread = row.paper.accuracy_std
    accuracy = f"{row.paper.accuracy:.2f}" + (f" ± {spread:.2f}" if spread else "")
    change = "" if row.difference is None else f"{row.difference:+.2f}"
    name = (
        row.step
        if row.recipe == ENHANCED_RECIPE
        else f"{row.step}, {row.recipe} recipe"
    )
    cost_text = f"{row.multiply_accumulates / 1e9:.2f} ({row.paper.gflops:.2f})"
    return f"| {name} | {row.parameters:,} | {cost_text} | {accuracy} | {change} |"


def table(regime: str = "resnet50") -> Table:
    """Returns the road with its costs and what the paper reports.

    Args:
        regime: "resnet50" or "resnet200".

    Raises:
        ValueError: There is no such regime.

    Source: arXiv:2201.03545, tables 10 and 11.

    Example:
        >>> from keras_convnext import roadmap
        >>> roadmap.table("resnet50").rows[0].step
        'resnet50'
    """
    accuracies: dict[str | None, float] = {
        None: PLAIN_BASELINE[_checked(regime)].accuracy
    }
    rows = [_row(STEPS[0], regime, PLAIN_RECIPE, PLAIN_BASELINE[regime], None)]
    for name in STEPS:
        figures = FIGURES[regime][name]
        before = accuracies[STEP_BY_NAME[name].after]
        difference = round(figures.accuracy - before, 2)
        rows.append(_row(name, regime, ENHANCED_RECIPE, figures, difference))
        accuracies[name] = figures.accuracy
    return Table(regime, tuple(rows))


def _checked(regime: str) -> str:
    design(STEPS[0], regime)  # says what is wrong with an unknown regime
    return regime


def _row(
    name: str, regime: str, recipe: str, figures: Figures, difference: float | None
) -> Row:
    step, shape = STEP_BY_NAME[name], design(name, regime)
    return Row(
        step=name,
        recipe=recipe,
        title=step.title,
        section=step.section,
        parameters=cost.parameters(shape),
        multiply_accumulates=cost.multiply_accumulates(shape),
        paper=figures,
        difference=difference,
    )
