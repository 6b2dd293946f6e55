"""Which fields of a recipe belong to which task."""

from __future__ import annotations

# Set in a recipe of another task, they would say what does not happen.
_OF_ONE_TASK = {
    "classification": (
        "augmentation",
        "label_smoothing",
        "target",
        "class_order",
        "loss",
        "class_balance",
        "teacher",
        "distillation",
        "distillation_weight",
        "distillation_temperature",
        "head_init_scale",
        "evaluation_crop",
        "folds",
        "fold",
    ),
    "segmentation": (
        "mask_augmentation",
        "reduce_zero_label",
        "head_channels",
        "auxiliary_weight",
        "loss_over",
    ),
    "detection": (
        "box_augmentation",
        "detector",
        "pyramid_channels",
        "head_units",
        "training_proposals",
        "sampled_boxes",
    ),
    "masked_autoencoding": ("mask_ratio", "probe_data", "probe_epochs"),
}
# What another task has, too.
_ALSO_OF = {
    "masked_autoencoding": ("augmentation",),
    "feature_distillation": ("augmentation", "teacher", "probe_data", "probe_epochs"),
}


def fields_of_other_tasks(task: str) -> dict[str, str]:
    """Returns the fields that mean nothing to a task, and the task that has them."""
    return {
        name: other
        for other, names in _OF_ONE_TASK.items()
        for name in names
        if other != task and name not in _ALSO_OF.get(task, ())
    }
