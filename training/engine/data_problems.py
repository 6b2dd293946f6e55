"""What is said where the pipeline gives no batch."""

from __future__ import annotations

from .run import Run


def unreadable(run: Run, count: int, error: Exception) -> str:
    """Returns the error for an image that cannot be decoded during training.

    Args:
        run: Where it is.
        count: Batches from there on, one of which has the image.
        error: TensorFlow's.
    """
    first = run.progress.batch + 1
    last = first + count - 1
    where = f"batch {first}" if first == last else f"batches {first} to {last}"
    # TensorFlow's own words stand above the first node that it names.
    message: str = getattr(error, "message", str(error))
    reason = message.partition("[[")[0].strip().rpartition("\n")[2][:200]
    return (
        f"an image of {where} of epoch {run.progress.epoch + 1} cannot be read "
        f"({reason}); class folders are checked beforehand, and --skip_bad_images "
        "leaves such images of theirs out"
    )


def too_few(run: Run) -> str:
    """Returns the error for data that end within an epoch."""
    return (
        f"the data ended before batch {run.steps_per_epoch} of epoch "
        f"{run.progress.epoch + 1}: there are fewer images than it says"
    )
