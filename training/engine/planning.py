"""What each recipe would take on one card: speed, memory, cores and time.

One speed of a training step was measured on an NVIDIA H200. Others are estimated from
it in two ways, for it depends on network and card which of them limits:

* arithmetic: images a second fall as multiply-accumulates grow, at the same share of
  the card's peak (11.2 % of 989 TFLOP/s, with six operations for each);
* traffic: they fall as the numbers grow that a step keeps of an image, by which
  `first_step` estimates the memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from keras_convnext import weights
from keras_convnext.variants import VARIANTS, multiply_accumulates

from ..recipes import expected
from ..recipes.recipe import Recipe
from ..recipes.table import RECIPES
from . import first_step
from .head_sizes import of_fcmae

PARTS = (1, 4, 16)
COLUMNS = (
    "recipe",
    "images a second",
    "by",
    *(f"GiB, {parts} part{'s' * (parts > 1)}" for parts in PARTS),
    "cores",
    "time",
    "on",
)
PRECISION = "mixed_bfloat16"
# docs/reference/measurements.md, "On a GPU": training steps of 256 images.
MEASURED_SPEED = 4_139.0
_MEASURED = Recipe(
    name="gpu",
    variant="convnext_tiny",
    size_px=224,
    epochs=1,
    global_batch=256,
    peak_lr=1e-3,
    precision=PRECISION,
)
# Likewise, a core of the pipeline, with the papers' augmentation at 224 px.
IMAGES_A_CORE = 234.0
_CARD, _PROCESSOR = "1 H200", "2 CPU cores"
# docs/training.md, "Results": whole runs, with all images in memory.
_RUNS = {"scratch_small": (40_000.0, _CARD), "demo": (120.0, _PROCESSOR)}
# Training images and classes. Other data are those of the user.
_DATA = {
    "digits": (1_442, 10),
    "CIFAR-10": (50_000, 10),
    "ImageNet-1k": (1_281_167, 1_000),
    "ImageNet-22k": (14_197_122, 21_841),
    "ADE20K": (20_210, 150),
    "COCO": (118_287, 80),
}
# Multiply-accumulates of whole networks in 10^9, as ConvNeXt's README prints them:
# label maps of four crops side by side, and objects at 1280x800.
_CROPS_PRINTED = 4
_PRINTED = {
    "upernet_tiny_ade20k": 939 / _CROPS_PRINTED,
    "upernet_small_ade20k": 1027 / _CROPS_PRINTED,
    "upernet_base_ade20k": 1170 / _CROPS_PRINTED,
    "upernet_base_640_ade20k": 1828 / _CROPS_PRINTED,
    "upernet_large_ade20k": 2458 / _CROPS_PRINTED,
    "upernet_xlarge_ade20k": 3335 / _CROPS_PRINTED,
    "mask_rcnn_tiny_coco": 262,
    "cascade_mask_rcnn_tiny_coco": 741,
    "cascade_mask_rcnn_small_coco": 827,
    "cascade_mask_rcnn_base_coco": 964,
    "cascade_mask_rcnn_base_22k_coco": 964,
    "cascade_mask_rcnn_large_22k_coco": 1354,
    "cascade_mask_rcnn_xlarge_22k_coco": 1898,
}


@dataclass(frozen=True)
class Plan:
    """What a recipe would take.

    Attributes:
        speed: Images a second of a training step, the least and the most.
        is_measured: Whether they are one figure, which was measured.
        memory: Bytes of a step by `PARTS`; None where the batch has no such parts.
        cores: Processor cores that keep up with the most images; None where the
            pipeline has not been measured on such images.
        seconds: Training time without evaluation, the least and the most; None for
            data of the user.
        hardware: What all of it is for.
    """

    speed: tuple[float, float]
    is_measured: bool
    memory: tuple[float | None, ...]
    cores: int | None
    seconds: tuple[float, float] | None
    hardware: str


def plan(recipe: Recipe) -> Plan:
    """Returns what a recipe would take in bfloat16.

    Args:
        recipe: As it stands in `RECIPES`.
    """
    images, classes = _DATA.get(expected.expect(recipe).data, (0, 0))
    recipe = replace(recipe, precision=PRECISION)
    image, fixed = first_step.bytes_of(recipe, classes=classes)
    batch, hardware, is_measured = recipe.global_batch, _CARD, True
    if recipe.name in _RUNS:
        slow, hardware = _RUNS[recipe.name]
        fast = slow
    elif _is_measured(recipe):
        slow = fast = MEASURED_SPEED
    else:
        found, is_measured = estimate(recipe, classes), False
        slow, fast = min(found), max(found)
    seen = images * recipe.epochs
    return Plan(
        speed=(slow, fast),
        is_measured=is_measured,
        memory=tuple(
            None if batch % parts else batch / parts * image + fixed for parts in PARTS
        ),
        cores=math.ceil(fast / IMAGES_A_CORE) if _is_like_papers(recipe) else None,
        seconds=(seen / fast, seen / slow) if images else None,
        hardware=hardware,
    )


def _is_measured(recipe: Recipe) -> bool:
    fields = ("variant", "size_px", "task")
    is_alike = all(getattr(recipe, name) == getattr(_MEASURED, name) for name in fields)
    return is_alike and recipe.global_batch >= _MEASURED.global_batch


def _is_like_papers(recipe: Recipe) -> bool:
    """Returns whether the pipeline has been measured on such images, or harder ones."""
    return (
        recipe.size_px == _MEASURED.size_px
        and recipe.task not in ("segmentation", "detection")
        and recipe.name not in _RUNS
    )


def estimate(recipe: Recipe, classes: int) -> tuple[float, ...]:
    """Returns estimated images a second of a training step on one H200.

    Images smaller than 224 px leave a card idle in a way that neither estimate knows.

    Args:
        recipe: In the precision of `PRECISION`.
        classes: Of the data.

    Returns:
        By traffic, and by arithmetic where the heads' is known; by arithmetic alone
        where a teacher runs beside.
    """
    own, known = (
        first_step.bytes_of(each, classes=classes)[0] for each in (recipe, _MEASURED)
    )
    work = _work(recipe)
    by_traffic = MEASURED_SPEED * known / own
    if work is None:
        return (by_traffic,)
    by_arithmetic = MEASURED_SPEED * _of_variant(_MEASURED) / work
    if recipe.teacher is not None:
        return (by_arithmetic,)
    return by_traffic, by_arithmetic


def _work(recipe: Recipe) -> float | None:
    """Returns multiply-accumulates of an image's forward pass, if they are known."""
    if recipe.task == "classification":
        return _of_variant(recipe)
    if recipe.task == "feature_distillation":
        # A forward pass of the published teacher, and three of the student.
        variant = weights.find(str(recipe.teacher)).variant
        taught = replace(recipe, variant=variant)
        return _of_variant(recipe) + _of_variant(taught) / 3
    if recipe.task == "masked_autoencoding":
        # Each weight of the decoder meets each patch.
        widths = VARIANTS[recipe.variant].widths
        patches = (recipe.size_px // 32) ** 2
        decoder = of_fcmae(recipe, widths, (), 0).parameters
        return (1 - recipe.mask_ratio) * _of_variant(recipe) + decoder * patches
    printed = _PRINTED.get(recipe.name)
    return None if printed is None else printed * 1e9


def _of_variant(recipe: Recipe) -> float:
    return float(multiply_accumulates(VARIANTS[recipe.variant], recipe.size_px))


def cells(recipe: Recipe) -> tuple[str, ...]:
    """Returns the row of a recipe, in the order of `COLUMNS`."""
    found = plan(recipe)
    shown = (speed if found.is_measured else round_2(speed) for speed in found.speed)
    return (
        recipe.name,
        _range(*(f"{speed:,.0f}" for speed in shown)),
        "measured" if found.is_measured else "estimated",
        *("" if size is None else f"{size / 2**30:,.1f}" for size in found.memory),
        "" if found.cores is None else f"{found.cores}",
        "" if found.seconds is None else _range(*map(span, found.seconds)),
        found.hardware,
    )


def list_plans() -> str:
    """Returns the rows of all recipes, as lines for a terminal."""
    rows = [COLUMNS, *map(cells, RECIPES.values())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(
        [
            "Training in bfloat16; parts are accumulation_steps. docs/recipes.md says "
            "how it is estimated.",
            "",
            *(line.rstrip() for line in lines),
        ]
    )


def round_2(number: float) -> float:
    """Returns a number with the two digits that an estimate has.

    Example:
        >>> from training.engine.planning import round_2
        >>> round_2(1926.4), round_2(0.157)
        (1900.0, 0.16)
    """
    return float(f"{number:.2g}")


def span(seconds: float) -> str:
    """Returns a duration in minutes, hours or days, with two digits.

    Example:
        >>> from training.engine.planning import span
        >>> span(125), span(5 * 3600), span(3.2 * 86400)
        ('2.1 min', '5 h', '3.2 d')
    """
    for unit, size in (("d", 86_400), ("h", 3_600)):
        if seconds >= size:
            return f"{round_2(seconds / size):g} {unit}"
    return f"{round_2(seconds / 60):g} min"


def _range(low: str, high: str) -> str:
    """Returns both ends, or the one that there is; a unit of both stands once."""
    if low == high:
        return low
    number, _, unit = low.partition(" ")
    return f"{number if high.endswith(f' {unit}') else low} to {high}"
