"""What is done with the figures of a step, whichever backend took it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import keras

from .run import Run

FINITE = ("loss", "gradient_norm")


def note(
    run: Run,
    result: Mapping[str, float],
    seconds: float,
    listeners: keras.callbacks.CallbackList,
    finite: Sequence[str] = FINITE,
) -> None:
    """Counts a step, and tells the callbacks of it.

    Args:
        run: Where it was taken.
        result: Sums over its images, "loss", "gradient_norm" and "waited" among them.
        seconds: It took.
        listeners: The callbacks.
        finite: What must be a number.

    Raises:
        UsageError: Something of `finite` is not.
    """
    batch = run.progress.batch
    for name in finite:
        if not math.isfinite(result[name]):
            raise run.checkpoints.not_a_number(
                f"the {name.replace('_', ' ')} is {result[name]} at step "
                f"{run.progress.step + 1} (epoch {run.progress.epoch + 1}, batch "
                f"{batch + 1})"
            )
    counted = {name: value for name, value in result.items() if name != "gradient_norm"}
    images = float(run.recipe.global_batch)
    run.note_steps(1, {**counted, "steps": 1.0, "images": images, "seconds": seconds})
    totals = run.progress.totals
    listeners.on_train_batch_end(
        batch,
        {
            "loss": totals["loss"] / totals["steps"],
            "data_wait": totals["waited"] / max(totals["seconds"], 1e-9),
        },
    )
