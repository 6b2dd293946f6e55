"""Learning rates by step: a rise, then a fall."""

from __future__ import annotations

import abc
import math
from typing import Any

import keras
from keras import ops

# Shares of a run after which `WarmupStep` falls.
_FALLS = (3 / 4, 11 / 12)


class _WarmupFall(keras.optimizers.schedules.LearningRateSchedule, abc.ABC):
    """A straight rise to `peak_lr`, then a fall to `min_lr`, as each subclass has it.

    Before the rise the rate may be held for some steps, for a new head on a frozen
    backbone.
    """

    def __init__(
        self,
        peak_lr: float,
        total_steps: int,
        warmup_steps: int = 0,
        min_lr: float = 0.0,
        start_lr: float = 0.0,
        held_steps: int = 0,
        held_lr: float = 0.0,
    ) -> None:
        if min(warmup_steps, held_steps) < 0 or (
            held_steps + warmup_steps >= total_steps
        ):
            raise ValueError(
                f"{type(self).__name__} wants 0 <= held_steps + warmup_steps < "
                f"total_steps; got held_steps={held_steps}, "
                f"warmup_steps={warmup_steps}, total_steps={total_steps}."
            )
        self.peak_lr = float(peak_lr)
        self.total_steps = int(total_steps)
        self.warmup_steps = int(warmup_steps)
        self.min_lr = float(min_lr)
        self.start_lr = float(start_lr)
        self.held_steps = int(held_steps)
        self.held_lr = float(held_lr)

    @abc.abstractmethod
    def _falling(self, progress: Any) -> Any:
        """Returns the rate of the fall, of a progress in 0..1."""

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32") - self.held_steps
        rise = self.peak_lr - self.start_lr
        rising = self.start_lr + rise * step / max(self.warmup_steps - 1, 1)
        falling_steps = self.total_steps - self.held_steps - self.warmup_steps
        progress = ops.clip((step - self.warmup_steps) / falling_steps, 0.0, 1.0)
        falling = self._falling(progress)
        moving = ops.where(step < self.warmup_steps, rising, falling)
        return ops.where(step < 0, self.held_lr, moving)

    def get_config(self) -> dict[str, Any]:
        return {
            "peak_lr": self.peak_lr,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "min_lr": self.min_lr,
            "start_lr": self.start_lr,
            "held_steps": self.held_steps,
            "held_lr": self.held_lr,
        }


@keras.saving.register_keras_serializable(package="keras_convnext")
class WarmupCosine(_WarmupFall):
    """A straight rise to `peak_lr`, then half a cosine down to `min_lr`.

    Step by step what the official training code does: the rise reaches the peak
    at its own last step, and the fall starts at the peak again. Before the rise the
    rate may be held for some steps, for a new head on a frozen backbone.

    Args:
        peak_lr: Highest learning rate.
        total_steps: Steps of the whole run; afterwards it stays at `min_lr`.
        warmup_steps: Steps of the rise; 0 for none.
        min_lr: What the cosine goes down to.
        start_lr: Learning rate of the first step of the rise.
        held_steps: Steps before the rise.
        held_lr: Their learning rate.

    Source: arXiv:2201.03545, table 5; the official code's `cosine_scheduler`.

    Example:
        >>> from keras_convnext.optimizers import WarmupCosine
        >>> schedule = WarmupCosine(1e-3, total_steps=100, warmup_steps=10)
        >>> round(float(schedule(100)), 6)
        0.0
    """

    def _falling(self, progress: Any) -> Any:
        fall = 0.5 * (self.peak_lr - self.min_lr)
        return self.min_lr + fall * (1.0 + ops.cos(math.pi * progress))


@keras.saving.register_keras_serializable(package="keras_convnext")
class WarmupLinear(_WarmupFall):
    """A straight rise to `peak_lr`, then a straight line down to `min_lr`.

    The fall is a polynomial of power 1, with which segmentation is trained.

    Args:
        peak_lr: Highest learning rate.
        total_steps: Steps of the whole run; afterwards it stays at `min_lr`.
        warmup_steps: Steps of the rise; 0 for none.
        min_lr: What the line goes down to.
        start_lr: Learning rate of the first step of the rise.
        held_steps: Steps before the rise.
        held_lr: Their learning rate.

    Source: arXiv:2201.03545, appendix A.3; github.com/open-mmlab/mmsegmentation 1.2.2,
        its schedule of 160,000 steps.

    Example:
        >>> from keras_convnext.optimizers import WarmupLinear
        >>> schedule = WarmupLinear(1e-4, total_steps=160_000, warmup_steps=1_500)
        >>> round(float(schedule(80_750)), 8)
        5e-05
    """

    def _falling(self, progress: Any) -> Any:
        return self.peak_lr + (self.min_lr - self.peak_lr) * progress


@keras.saving.register_keras_serializable(package="keras_convnext")
class WarmupStep(_WarmupFall):
    """A straight rise to `peak_lr`, then a tenth of it, then a hundredth.

    The falls are after three quarters and after eleven twelfths of the run, its rise
    included: of 36 epochs, after 27 and 33, with which detection is trained.

    Args:
        peak_lr: Highest learning rate.
        total_steps: Steps of the whole run.
        warmup_steps: Steps of the rise; 0 for none.
        min_lr: What it does not fall below.
        start_lr: Learning rate of the first step of the rise.
        held_steps: Steps before the rise.
        held_lr: Their learning rate.

    Source: github.com/open-mmlab/mmdetection 3.3.0, its ConvNeXt configurations.

    Example:
        >>> from keras_convnext.optimizers import WarmupStep
        >>> schedule = WarmupStep(1e-4, total_steps=3600, warmup_steps=100)
        >>> [f"{float(schedule(step)):.0e}" for step in (2699, 2700, 3300)]
        ['1e-04', '1e-05', '1e-06']
    """

    def _falling(self, progress: Any) -> Any:
        steps = self.total_steps - self.held_steps
        step = self.warmup_steps + progress * (steps - self.warmup_steps)
        # Half a step, because float32 cannot tell one of a million from the next.
        falls = [ops.cast(step > share * steps - 0.5, "float32") for share in _FALLS]
        return ops.maximum(self.peak_lr * 0.1 ** sum(falls), self.min_lr)
