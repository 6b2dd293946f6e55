"""What images may be labeled with, and the losses that a recipe may name for it."""

from __future__ import annotations

from collections.abc import Sequence

# Those of `tasks.losses`, which needs a backend; a recipe does not.
LOSSES = ("softmax", "sigmoid", "focal", "asymmetric", "cumulative", "emd")
# Those of `tasks.regression`.
NUMBER_LOSSES = ("huber", "mse")
LOSSES_OF = {
    "label": ("softmax", "sigmoid"),
    "ordered": ("cumulative", "emd", "softmax"),
    "labels": ("sigmoid", "focal", "asymmetric"),
    "number": NUMBER_LOSSES,
}
# Of which an image has one class.
CLASS_TARGETS = ("label", "ordered")
# What a recipe for one class is changed to where nothing else is asked for.
_FITTING: dict[str, dict[str, object]] = {
    "target=ordered": {"loss": "cumulative", "label_smoothing": 0},
    "target=labels": {"loss": "sigmoid"},
    "target=number": {"loss": "huber", "label_smoothing": 0},
    # Of its authors, arXiv:2302.06675, and of Keras.
    "optimizer=lion": {"beta_2": 0.99},
}


def fit_to_choices(changes: Sequence[str]) -> list[str]:
    """Returns the changes that fit other fields to a target or an optimizer.

    Args:
        changes: Texts like "target=labels"; what they say of the other fields stays.
    """
    said = dict(change.partition("=")[::2] for change in changes)
    fitting: dict[str, object] = {}
    for name, value in said.items():
        fitting |= _FITTING.get(f"{name}={value}", {})
    return [f"{name}={value}" for name, value in fitting.items() if name not in said]
