"""The metric that decides which epoch of a run is the best."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """The metric that decides which epoch of a run is the best.

    Attributes:
        name: Its name in metrics.json.
        figure: Its name among the figures of an epoch, "val_" before it in history.csv.
        words: What people call it.
        higher_is_better: Whether a larger value is a better one.
        is_fraction: Whether it lies in 0..1 and is shown in percent.
    """

    name: str
    figure: str
    words: str
    higher_is_better: bool = True
    is_fraction: bool = True

    def score(self, value: float) -> float:
        """Returns a value as checkpoints keep it: the higher the better."""
        return value if self.higher_is_better else -value

    def show(self, value: float, digits: int = 2) -> str:
        """Returns a value as people read it, in percent where it is a fraction."""
        return f"{value:.{digits}%}" if self.is_fraction else f"{value:.4g}"
