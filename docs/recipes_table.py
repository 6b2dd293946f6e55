"""Writes the tables of recipes into docs/recipes.md, each between its two marks.

python docs/recipes_table.py          # writes
python docs/recipes_table.py --check  # exits with 1 if the page is out of date
"""

import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from docs.marked_page import replace_between, write_or_check  # noqa: E402
from training.engine import planning  # noqa: E402
from training.recipes.augmentation import Augmentation  # noqa: E402
from training.recipes.expected import expect  # noqa: E402
from training.recipes.limits import KINDS  # noqa: E402
from training.recipes.listing import format_accuracy, format_time  # noqa: E402
from training.recipes.papers import PAPER_RECIPES  # noqa: E402
from training.recipes.table import RECIPES, Recipe  # noqa: E402

PAGE = ROOT / "docs" / "recipes.md"
END = "<!-- end of table -->\n"
PLAIN = Augmentation()
TRAINING: dict[str, Callable[[Recipe], object]] = {
    "recipe": lambda r: f"`{r.name}`",
    "variant": lambda r: f"`{r.variant}`",
    "from": lambda r: f"`{r.weights}`" if r.weights else "random",
    "px": lambda r: r.size_px,
    "epochs (warm-up)": lambda r: f"{r.epochs:g} ({r.warmup_epochs:g})",
    "batch": lambda r: f"{r.global_batch:,}",
    "peak lr": lambda r: f"{r.peak_lr:g}",
    "weight decay": lambda r: f"{r.weight_decay:g}",
    "layer decay": lambda r: _or_none(r.layer_decay),
    "stochastic depth": lambda r: f"{r.stochastic_depth_rate:g}",
    "EMA": lambda r: _or_none(r.ema_decay),
}
AUGMENTATION: dict[str, Callable[[Recipe], object]] = {
    "recipe": lambda r: f"`{r.name}`",
    "crop": lambda r: _or_none(r.augmentation.crop_scale),
    "flip": lambda r: "yes" if r.augmentation.flip else "",
    "RandAugment": lambda r: _or_none(r.augmentation.rand_augment),
    "erasing": lambda r: _or_none(r.augmentation.random_erasing or None),
    "mixup, cutmix": lambda r: (
        f"{r.augmentation.mixup:g}, {r.augmentation.cutmix:g}"
        if r.augmentation.mixup or r.augmentation.cutmix
        else ""
    ),
    "label smoothing": lambda r: f"{r.label_smoothing:g}",
    "clipping": lambda r: _or_none(r.clip_norm),
}
RESULTS: dict[str, Callable[[Recipe], object]] = {
    "recipe": lambda r: f"`{r.name}`",
    "task": lambda r: expect(r).task,
    "data": lambda r: expect(r).data,
    "top-1 accuracy": lambda r: format_accuracy(expect(r)),
    "time": lambda r: format_time(expect(r)),
    "hardware": lambda r: expect(r).hardware,
    "measured by": lambda r: expect(r).source,
}
SEGMENTATION: dict[str, Callable[[Recipe], object]] = {
    "recipe": lambda r: f"`{r.name}`",
    "variant": lambda r: f"`{r.variant}`",
    "from": lambda r: f"`{r.weights}`",
    "crop": lambda r: r.size_px,
    "epochs (warm-up)": lambda r: f"{r.epochs:g} ({r.warmup_epochs:.3g})",
    "batch": lambda r: r.global_batch,
    "peak lr": lambda r: f"{r.peak_lr:g}",
    "stochastic depth": lambda r: f"{r.stochastic_depth_rate:g}",
    "head channels": lambda r: r.head_channels,
    "loss over": lambda r: r.loss_over,
    "precision": lambda r: r.precision,
    "data": lambda r: expect(r).data,
    "mIoU, one scale": lambda r: format_accuracy(expect(r)).removesuffix(" mIoU"),
    "measured by": lambda r: expect(r).source,
}
DETECTION: dict[str, Callable[[Recipe], object]] = {
    "recipe": lambda r: f"`{r.name}`",
    "variant": lambda r: f"`{r.variant}`",
    "from": lambda r: f"`{r.weights}`",
    "px": lambda r: r.size_px,
    "epochs (warm-up)": lambda r: f"{r.epochs:g} ({r.warmup_epochs:.3g})",
    "batch": lambda r: r.global_batch,
    "peak lr": lambda r: f"{r.peak_lr:g}",
    "layer decay": lambda r: _or_none(r.layer_decay),
    "stochastic depth": lambda r: f"{r.stochastic_depth_rate:g}",
    "precision": lambda r: r.precision,
    "data": lambda r: expect(r).data,
    "box AP": lambda r: _ap(expect(r).box_ap),
    "mask AP": lambda r: _ap(expect(r).mask_ap),
    "measured by": lambda r: expect(r).source,
}
PRETRAINING: dict[str, Callable[[Recipe], object]] = {
    "recipe": lambda r: f"`{r.name}`",
    "variant": lambda r: f"`{r.variant}`",
    "px": lambda r: r.size_px,
    "masked": lambda r: f"{r.mask_ratio:.0%}",
    "epochs (warm-up)": lambda r: f"{r.epochs:,} ({r.warmup_epochs:g})",
    "batch": lambda r: f"{r.global_batch:,}",
    "peak lr": lambda r: f"{r.scaled_lr:g}",
    "weight decay": lambda r: f"{r.weight_decay:g}",
    "beta_2": lambda r: f"{r.beta_2:g}",
    "crop": lambda r: _or_none(r.augmentation.crop_scale),
    "data": lambda r: expect(r).data,
}
PLANNING: dict[str, Callable[[Recipe], object]] = {
    "recipe": lambda r: f"`{r.name}`",
    **{
        name: lambda r, place=place: planning.cells(r)[place]
        for place, name in enumerate(planning.COLUMNS)
        if place
    },
}
DISTILLATION: dict[str, Callable[[Recipe], object]] = {
    "recipe": lambda r: f"`{r.name}`",
    "variant": lambda r: f"`{r.variant}`",
    "teacher": lambda r: f"`{r.teacher}`",
    "px": lambda r: r.size_px,
    "epochs (warm-up)": lambda r: f"{r.epochs:,} ({r.warmup_epochs:g})",
    "batch": lambda r: f"{r.global_batch:,}",
    "peak lr": lambda r: f"{r.scaled_lr:g}",
    "weight decay": lambda r: f"{r.weight_decay:g}",
    "clipping": lambda r: _or_none(r.clip_norm),
    "crop": lambda r: _or_none(r.augmentation.crop_scale),
    "data": lambda r: expect(r).data,
}
# The papers state neither time nor hardware.
PAPER_RESULTS = {k: v for k, v in RESULTS.items() if k not in ("time", "hardware")}
WORDS = ("recipe", "variant", "teacher", "from", "flip", "RandAugment", "crop")
WORDS += ("task", "data", "hardware", "measured by", "loss over", "precision")
WORDS += ("by", "on")


def _or_none(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return " to ".join(f"{part:g}" for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _ap(percent: float | None) -> str:
    return "not measured" if percent is None else f"{percent:.1f}"


def table(columns: dict[str, Callable[[Recipe], object]], recipes: list[Recipe]) -> str:
    """Returns the table in Markdown, a row a recipe."""
    lines = [
        "| " + " | ".join(columns) + " |",
        "|" + "|".join("---" if name in WORDS else "--:" for name in columns) + "|",
    ]
    for recipe in recipes:
        cells = (str(cell(recipe)) for cell in columns.values())
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def tables() -> dict[str, str]:
    """Returns each table by the name in its mark."""
    papers = {recipe.name for recipe in PAPER_RECIPES}
    of_tasks = {
        task: [recipe for recipe in RECIPES.values() if recipe.task == task]
        for task in KINDS
    }
    own = [r for r in of_tasks["classification"] if r.name not in papers]
    published = [RECIPES[recipe.name] for recipe in PAPER_RECIPES]
    return {
        "own results": table(RESULTS, own),
        "papers' results": table(PAPER_RESULTS, published),
        "own recipes": table(TRAINING, own),
        "own augmentation": table(AUGMENTATION, own),
        "papers' recipes": table(TRAINING, published),
        "papers' augmentation": table(AUGMENTATION, published),
        "segmentation": table(SEGMENTATION, of_tasks["segmentation"]),
        "detection": table(DETECTION, of_tasks["detection"]),
        "pre-training": table(PRETRAINING, of_tasks["masked_autoencoding"]),
        "distillation": table(DISTILLATION, of_tasks["feature_distillation"]),
        "planning": table(PLANNING, list(RECIPES.values())),
    }


def page_with_tables(page: str) -> str:
    """Returns the page with the tables that are right now."""
    for name, text in tables().items():
        begin = f"<!-- {name}: written by docs/recipes_table.py -->\n"
        page = replace_between(page, begin, END, text)
    return page


if __name__ == "__main__":
    write_or_check(PAGE, page_with_tables, __doc__.partition("\n")[0])
