"""What images may be labeled with, and the losses that a recipe may name for it."""

from __future__ import annotations

from collections.abc import Sequence

# Those of `tasks.losses`, which needs a backend; a recipe does not.
LOSSES = ("softmax", "sigmoid", "focal", "asymmetric")
# Those of `tasks.regression`.
NUMBER_LOSSES = ("huber", "mse")
LOSSES_OF = {
    "label": ("softmax", "sigmoid"),
    "labels": ("sigmoid", "focal", "asymmetric"),
    "number": NUMBER_LOSSES,
}
# What a recipe for one class is changed to where nothing else is asked for.
_FITTING: dict[str, dict[str, object]] = {
    "labels": {"loss": "sigmoid"},
    "number": {"loss": "huber", "label_smoothing": 0},
}


def fit_to_target(changes: Sequence[str]) -> list[str]:
    """Returns the changes that fit the loss to what images are labeled with.

    Args:
        changes: Texts like "target=labels"; what they say of the loss stays.
    """
    said = dict(change.partition("=")[::2] for change in changes)
    fitting = _FITTING.get(said.get("target", ""), {})
    return [f"{name}={value}" for name, value in fitting.items() if name not in said]
