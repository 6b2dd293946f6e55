"""Which values the fields of a recipe take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_convnext.layer_decay import ASSIGNMENTS

from .metric import METRICS
from .targets import CLASS_TARGETS, LOSSES, LOSSES_OF

KEPT = ("last", "best")
# Those of `tasks`.
KINDS = (
    "classification",
    "segmentation",
    "detection",
    "masked_autoencoding",
    "feature_distillation",
)
# Their networks have no dropout.
_WITHOUT_DROPOUT = ("detection", "masked_autoencoding", "feature_distillation")
DISTILLED = ("logits", "features")
DETECTORS = ("mask_rcnn", "cascade_mask_rcnn")
SCHEDULES = ("cosine", "linear", "step")
PIXELS = ("all", "valid")
CROP_MODES = ("center", "squash")
# Those of `engine.optimizers`.
OPTIMIZERS = ("adamw", "sgd", "lion", "lamb", "adafactor", "muon")
BALANCES = ("none", "weights", "sampling")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def _above_zero(_: Any, value: float) -> bool:
    return value > 0


def _zero_or_more(_: Any, value: float) -> bool:
    return value >= 0


def _share(_: Any, value: float | None) -> bool:
    return value is None or 0 <= value < 1


def _above_zero_or_none(_: Any, value: float | None) -> bool:
    return value is None or value > 0


def _balances(target: str, loss: str) -> tuple[str, ...]:
    """Returns what `class_balance` may be."""
    if target in CLASS_TARGETS:
        return BALANCES
    return BALANCES[:2] if (target, loss) == ("labels", "sigmoid") else BALANCES[:1]


def _may_teach(recipe: Any, is_taught: bool) -> bool:
    """Returns True if a recipe may have a teacher, or may be without one."""
    if recipe.task == "feature_distillation" or not is_taught:
        return is_taught or recipe.task != "feature_distillation"
    return recipe.target in CLASS_TARGETS or recipe.distillation == "features"


def _columns(recipe: Any) -> list[str]:
    """Returns what `best_metric` may be."""
    is_classifier = recipe.task == "classification"
    metrics = METRICS.get(recipe.target if is_classifier else recipe.task, ())
    return [metric.column for metric in metrics]


# For each field that not every value of its type fits: what holds for a value of a
# recipe, and how to say it.
LIMITS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    **dict.fromkeys(
        (
            "size_px",
            "epochs",
            "global_batch",
            "accumulation_steps",
            "steps_per_call",
            "keep_checkpoints",
            "pyramid_channels",
            "head_units",
            "training_proposals",
            "sampled_boxes",
            "probe_epochs",
        ),
        (_above_zero, "1 or more"),
    ),
    **dict.fromkeys(
        ("peak_lr", "frozen_lr", "distillation_temperature"), (_above_zero, "above 0")
    ),
    "teacher": (
        lambda recipe, value: _may_teach(recipe, value is not None),
        "none with several labels or a number an image (but for "
        "distillation=features), or a model for feature_distillation",
    ),
    "distillation": (
        lambda _, value: value in DISTILLED,
        f"one of {', '.join(DISTILLED)}",
    ),
    "distillation_weight": (
        lambda _, value: 0 < value <= 1,
        "in (0, 1]",
    ),
    "frozen_epochs": (
        lambda recipe, value: 0 <= value < recipe.epochs,
        "from 0 to less than epochs",
    ),
    **dict.fromkeys(
        ("patch_size", "clip_norm", "layer_scale_init_value", "lr_batch"),
        (_above_zero_or_none, "above 0 or none"),
    ),
    **dict.fromkeys(
        ("min_lr", "weight_decay", "head_init_scale", "auxiliary_weight", "seed"),
        (_zero_or_more, "0 or more"),
    ),
    **dict.fromkeys(
        (
            "stochastic_depth_rate",
            "warmup_start",
            "beta_1",
            "beta_2",
        ),
        (_share, "in [0, 1)"),
    ),
    "label_smoothing": (
        lambda recipe, value: (
            value == 0 or (0 < value < 1 and recipe.target != "number")
        ),
        "in [0, 1), and 0 with target=number",
    ),
    "dropout_rate": (
        lambda recipe, value: (
            value == 0 or (0 < value < 1 and recipe.task not in _WITHOUT_DROPOUT)
        ),
        f"in [0, 1), and 0 for {' and '.join(_WITHOUT_DROPOUT)}",
    ),
    "mask_ratio": (lambda _, value: 0 < value < 1, "between 0 and 1"),
    "ema_decay": (
        lambda recipe, value: (
            value is None or (0 <= value < 1 and recipe.task != "masked_autoencoding")
        ),
        "in [0, 1), and none for masked_autoencoding",
    ),
    "validation_share": (lambda _, value: 0 < value < 1, "between 0 and 1"),
    "folds": (
        lambda recipe, value: (
            value is None or (value > 1 and recipe.target in CLASS_TARGETS)
        ),
        f"none, or 2 or more with target={' or '.join(CLASS_TARGETS)}",
    ),
    "fold": (
        lambda recipe, value: (
            recipe.folds is None
            if value is None
            else recipe.folds is not None and 0 < value <= recipe.folds
        ),
        "a number from 1 to folds, or none without folds",
    ),
    "warmup_epochs": (
        lambda recipe, value: 0 <= value < recipe.epochs - recipe.frozen_epochs,
        "from 0 to less than epochs without the frozen ones",
    ),
    "layer_decay": (
        lambda _, value: value is None or 0 < value <= 1,
        "in (0, 1] or none",
    ),
    "head_channels": (
        lambda _, value: value > 0 and value % 2 == 0,
        "an even number above 0",
    ),
    "schedule": (
        lambda _, value: value in SCHEDULES,
        f"one of {', '.join(SCHEDULES)}",
    ),
    "detector": (
        lambda _, value: value in DETECTORS,
        f"one of {', '.join(DETECTORS)}",
    ),
    "loss_over": (lambda _, value: value in PIXELS, f"one of {', '.join(PIXELS)}"),
    "target": (
        lambda _, value: value in LOSSES_OF,
        f"one of {', '.join(LOSSES_OF)}",
    ),
    "loss": (
        lambda recipe, value: value in LOSSES_OF.get(recipe.target, LOSSES),
        "one of "
        + "; ".join(
            f"{', '.join(losses)} with target={target}"
            for target, losses in LOSSES_OF.items()
        ),
    ),
    "class_order": (
        lambda recipe, value: value is None or recipe.target == "ordered",
        "none, or with target=ordered all classes, divided by commas",
    ),
    "target_threshold": (
        lambda recipe, value: (
            value is None or (0 <= value < 1 and recipe.loss == "sigmoid")
        ),
        "none, or in [0, 1) with loss=sigmoid",
    ),
    "class_balance": (
        lambda recipe, value: value in _balances(recipe.target, recipe.loss),
        f"one of {', '.join(BALANCES)}; with target=labels none, or weights with "
        "loss=sigmoid; with target=number none",
    ),
    "layer_assignment": (
        lambda _, value: value in ASSIGNMENTS,
        f"one of {', '.join(ASSIGNMENTS)}",
    ),
    "evaluation_crop": (
        lambda _, value: value is None or value in CROP_MODES,
        f"one of {', '.join(CROP_MODES)} or none",
    ),
    "optimizer": (
        lambda _, value: value in OPTIMIZERS,
        f"one of {', '.join(OPTIMIZERS)}",
    ),
    "task": (lambda _, value: value in KINDS, f"one of {', '.join(KINDS)}"),
    "keep": (lambda _, value: value in KEPT, f"one of {', '.join(KEPT)}"),
    "best_metric": (
        lambda recipe, value: value is None or value in _columns(recipe),
        "none, or a column of history.csv whose better values are known: "
        + "; ".join(
            f"{', '.join(metric.column for metric in metrics)} ({kind})"
            for kind, metrics in METRICS.items()
            if kind != "detection"
        )
        + "; of COCO's twelve figures val_ap, val_mask_ap and so on (detection)",
    ),
    "patience": (
        lambda recipe, value: value is None or (value > 0 and recipe.keep == "best"),
        "none, or 1 or more with keep=best",
    ),
    "precision": (
        lambda _, value: value in PRECISIONS,
        f"one of {', '.join(PRECISIONS)}",
    ),
}
