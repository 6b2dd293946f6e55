"""The kinds of work that a run may train for; a recipe names its own."""

from dataclasses import replace

from ..recipes.metric import METRICS
from ..recipes.recipe import Recipe
from .classification import CLASSIFICATION
from .detection import DETECTION
from .feature_distillation import FEATURE_DISTILLATION
from .masked_autoencoding import MASKED_AUTOENCODING
from .multi_label import MULTI_LABEL
from .ordered import ORDERED
from .regression import REGRESSION
from .segmentation import SEGMENTATION
from .task import Task

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        CLASSIFICATION,
        SEGMENTATION,
        DETECTION,
        MASKED_AUTOENCODING,
        FEATURE_DISTILLATION,
    )
}

# What a classifier's recipe says of its images' labels.
TARGETS: dict[str, Task] = {
    "label": CLASSIFICATION,
    "ordered": ORDERED,
    "labels": MULTI_LABEL,
    "number": REGRESSION,
}


def find_task(recipe: Recipe) -> Task:
    """Returns what a recipe trains for, with the metric that it names."""
    named = recipe.best_metric
    is_classifier = recipe.task == CLASSIFICATION.name
    task = TARGETS[recipe.target] if is_classifier else TASKS[recipe.task]
    metrics = METRICS[recipe.target if is_classifier else recipe.task]
    chosen = {metric.column: metric for metric in metrics}
    return task if named is None else replace(task, metric=chosen[named])


__all__ = [
    "CLASSIFICATION",
    "DETECTION",
    "FEATURE_DISTILLATION",
    "MASKED_AUTOENCODING",
    "MULTI_LABEL",
    "ORDERED",
    "REGRESSION",
    "SEGMENTATION",
    "TARGETS",
    "TASKS",
    "Task",
    "find_task",
]
