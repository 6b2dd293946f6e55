"""This library's training with `remat=True`: memory against time."""

from contestants.keras_convnext_plain import training, versions

__all__ = ["prepare", "versions"]


def prepare(case):
    """Returns the case's work."""
    return training(case, remat=True)
