"""The kinds of work that a run may train for; a recipe names its own."""

from .classification import CLASSIFICATION
from .detection import DETECTION
from .segmentation import SEGMENTATION
from .task import Task

TASKS: dict[str, Task] = {
    task.name: task for task in (CLASSIFICATION, SEGMENTATION, DETECTION)
}

__all__ = ["CLASSIFICATION", "DETECTION", "SEGMENTATION", "TASKS", "Task"]
