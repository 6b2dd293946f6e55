"""Knowledge distillation: a student learns what a teacher makes of the same images.

Source: arXiv:1503.02531; for images of the same crop, arXiv:2106.05237.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from .task import Measure, Rows


def distillation_loss(teacher_logits: Any, logits: Any, temperature: float) -> Any:
    """Returns each image's divergence of a student from its teacher, `(batch,)`.

    T² KL(p || q), of the teacher's probabilities p and the student's q, both softened
    by the temperature T. The gradient of the logits is T (q - p), about as large for
    every temperature.

    Args:
        teacher_logits: `(batch, classes)`.
        logits: Of the student, `(batch, classes)`.
        temperature: T, above 0.
    """
    wanted = ops.log_softmax(teacher_logits / temperature)
    given = ops.log_softmax(logits / temperature)
    divergence = ops.sum(ops.exp(wanted) * (wanted - given), axis=-1)
    return temperature**2 * divergence


def with_teacher(losses: Measure, weight: float, temperature: float) -> Measure:
    """Returns losses that take (truth, the teacher's logits) for truth.

    Args:
        losses: Of the truth alone.
        weight: Share of the distillation in the loss; the rest is that of the truth.
        temperature: Of the distillation.
    """

    def losses_of(outputs: Any, truth: Any) -> Rows:
        truth, teacher_logits = truth
        rows = losses(outputs, truth)
        distilled = distillation_loss(
            teacher_logits, ops.cast(outputs, "float32"), temperature
        )
        return {
            **rows,
            "loss": (1.0 - weight) * rows["loss"] + weight * distilled,
            "distillation_loss": distilled,
        }

    return losses_of
