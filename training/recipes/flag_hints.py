"""What was meant by a flag that does not exist: a recipe's field, or another flag."""

from __future__ import annotations

import dataclasses
from typing import Any

from .augmentation import Augmentation
from .recipe import Recipe

# What other trainers call these fields.
_FIELDS = {
    "epoch": "epochs",
    "num_epochs": "epochs",
    "n_epochs": "epochs",
    "lr": "peak_lr",
    "learning_rate": "peak_lr",
    "base_lr": "peak_lr",
    "lr0": "peak_lr",
    "batch": "global_batch",
    "batch_size": "global_batch",
    "bs": "global_batch",
    "train_batch_size": "global_batch",
    "size": "size_px",
    "image_size": "size_px",
    "img_size": "size_px",
    "input_size": "size_px",
    "imgsz": "size_px",
    "resolution": "size_px",
    "model": "variant",
    "arch": "variant",
    "warmup": "warmup_epochs",
    "freeze": "frozen_epochs",
    "freeze_epochs": "frozen_epochs",
    "wd": "weight_decay",
    "decay": "weight_decay",
    "dropout": "dropout_rate",
    "drop": "dropout_rate",
    "drop_path": "stochastic_depth_rate",
    "drop_path_rate": "stochastic_depth_rate",
    "smoothing": "label_smoothing",
    "ema": "ema_decay",
    "clip_grad": "clip_norm",
    "grad_clip": "clip_norm",
    "accumulate": "accumulation_steps",
    "grad_accum_steps": "accumulation_steps",
    "gradient_accumulation_steps": "accumulation_steps",
    "update_freq": "accumulation_steps",
    "opt": "optimizer",
    "momentum": "beta_1",
    "mixed_precision": "precision",
    "dtype": "precision",
    "validation_split": "validation_share",
    "val_split": "validation_share",
    "crop": "evaluation_crop",
}
_FLAGS = {
    "out": "workdir",
    "output": "workdir",
    "output_dir": "workdir",
    "save_dir": "workdir",
    "log_dir": "workdir",
    "logdir": "workdir",
    "dataset": "data",
    "data_dir": "data",
    "data_path": "data",
    "train_dir": "data",
    "pretrained": "weights",
    "checkpoint": "weights",
    "finetune": "weights",
    "device": "devices",
    "gpu": "devices",
    "gpus": "devices",
    "config": "recipe",
}


def suggest(values: Any, name: str, value: str) -> str | None:
    """Returns how to write a flag that does not exist; None where nobody knows.

    Args:
        values: The command's flags by name, `--set` among them.
        name: The flag, without dashes.
        value: What it was given.
    """
    name = name.replace("-", "_").lower()
    if name.removeprefix("no") in values:
        return None
    field = _FIELDS.get(name, name)
    # Fields of the recipe come after those inside of it, and win.
    paths = {path.rpartition(".")[2]: path for path in _paths()}
    paths |= {path: path for path in paths.values()}
    if "set" in values and field in paths:
        return f"--set {paths[field]}={value}"
    flag = _FLAGS.get(name, name)
    return f"--{flag}={value}" if flag in values else None


def _paths() -> list[str]:
    """Returns the recipe's fields as `--set` takes them, inner ones first."""

    def names(kind: Any, prefix: str = "") -> list[str]:
        return [f"{prefix}{field.name}" for field in dataclasses.fields(kind)]

    outer = [name for name in names(Recipe) if name not in ("name", "augmentation")]
    return [*names(Augmentation, "augmentation."), *outer]
