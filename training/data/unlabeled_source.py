"""The data of a pre-training run: images, and which of their patches are visible.

TensorFlow is imported where batches are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .source import Source

if TYPE_CHECKING:
    import tensorflow as tf

    from ..recipes.augmentation import Augmentation


@dataclass(frozen=True, eq=False)
class UnlabeledSource(Source):
    """Training and validation images, each with a random order of its patches.

    The first patches of an order are visible and the others masked; how many is the
    model's business. Attributes as of `Source`.

    Attributes:
        patch_px: Side of a patch in pixels.
        labeled: Images with classes that a run's features are measured on, if any.
    """

    patch_px: int = 32
    labeled: Source | None = None

    @property
    def patches(self) -> int:
        """Patches of an image."""
        return (self.preprocessing.size_px // self.patch_px) ** 2

    # The last batch is always left out.
    def train(  # type: ignore[override]
        self,
        global_batch: int,
        *,
        epoch: int,
        seed: int,
        augment: Augmentation,
        start_batch: int = 0,
        worker: int = 0,
        workers: int = 1,
    ) -> tf.data.Dataset:
        """Returns one epoch of training batches, as `Source.train` does.

        Args:
            global_batch: Images of a batch over all workers.
            epoch: From 0.
            seed: Of the order of the images, their augmentation and their masks.
            augment: What happens to each image.
            start_batch: Batches of the epoch to pass over.
            worker: Number of this process, from 0.
            workers: How many processes there are.

        Returns:
            (images uint8 `(batch, size, size, 3)`, orders int32 `(batch, patches)`).

        Raises:
            DataError: The batch cannot be shared evenly.
        """
        from . import pipeline, unlabeled_views

        return pipeline.training_batches(
            self.training,
            pipeline.WorkerShard(global_batch, worker, workers),
            unlabeled_views.make_training_view(
                self.training, augment, self.preprocessing, self.patches
            ),
            epoch=epoch,
            seed=seed,
            start_batch=start_batch,
            repeats=augment.repeats,
        )

    def validation_batches(
        self, global_batch: int, *, worker: int = 0, workers: int = 1
    ) -> tf.data.Dataset:
        """Returns every validation image once, with the same mask in every epoch.

        Returns:
            (images float32 `(batch, size, size, 3)` in 0..255, orders int32 `(batch,
            patches)`, weights float32 `(batch,)`). The last batch is filled up with
            rows of weight 0.
        """
        from . import pipeline, unlabeled_views

        return pipeline.evaluation_batches(
            unlabeled_views.CountedExamples(self.validation),
            pipeline.WorkerShard(global_batch, worker, workers),
            unlabeled_views.make_evaluation_view(
                self.validation, self.preprocessing, self.patches
            ),
        )
