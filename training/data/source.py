"""The data of a run: its examples, and for labeled images the batches made of them.

TensorFlow is imported where batches are made: under JAX a run has a source, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_convnext._renamed import warn_renamed
from keras_convnext.preprocessing import IMAGENET, Preprocessing

if TYPE_CHECKING:
    import tensorflow as tf

    from ..recipes.augmentation import Augmentation
    from .examples import Examples

# Images made small for a network are seen whole; photographs lose their rim.
WHOLE = replace(IMAGENET, crop_fraction=1.0)
# New names by those of version 0.1.
_RENAMED = {
    "eval_examples": "validation_examples",
    "evaluation": "validation_batches",
    "held_back": "validation",
    "held_back_images": "validation_images",
}


@dataclass(frozen=True, eq=False)
class Source:
    """Training and evaluation examples.

    Attributes:
        name: What the person called it.
        classes: Names in the order of the labels; empty where a task has none.
        training: Training examples.
        validation: Evaluation examples.
        preprocessing: How evaluation images are made, and of what size.
        skipped: Path and reason of each image left out.
        notices: Remarks worth a line each.
        drawn: Whether the evaluation examples were drawn by share and seed; the data
            had no such part of their own.
    """

    name: str
    classes: tuple[str, ...]
    training: Examples
    validation: Examples
    preprocessing: Preprocessing
    skipped: tuple[tuple[str, str], ...] = ()
    notices: tuple[str, ...] = ()
    drawn: bool = False

    @property
    def train_examples(self) -> int:
        """How many training images there are."""
        return self.training.count

    @property
    def validation_examples(self) -> int:
        """How many evaluation images there are."""
        return self.validation.count

    if not TYPE_CHECKING:  # For which every other name would be there, too.

        def __getattr__(self, name: str) -> Any:
            """Returns what has another name since 0.2, with a warning."""
            if name not in _RENAMED:
                raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
            warn_renamed(f"Source.{name}", f"Source.{_RENAMED[name]}")
            return getattr(self, _RENAMED[name])

    def counts(self) -> dict[str, int]:
        """Returns how much there is, which makes a run this run and no other."""
        return {
            "train_examples": self.train_examples,
            "eval_examples": self.validation_examples,
            "classes": len(self.classes),
        }

    def steps_per_epoch(self, global_batch: int, drop_remainder: bool = True) -> int:
        """Returns the batches of an epoch, at least one."""
        if drop_remainder:
            return max(1, self.train_examples // global_batch)
        return -(-self.train_examples // global_batch)

    def train(
        self,
        global_batch: int,
        *,
        epoch: int,
        seed: int,
        augment: Augmentation,
        drop_remainder: bool = True,
        start_batch: int = 0,
        worker: int = 0,
        workers: int = 1,
    ) -> tf.data.Dataset:
        """Returns one epoch of training batches.

        The same seed and epoch give the same images with the same augmentation in
        the same order, whichever batch it starts at and however many workers share
        it. Fewer images than one batch are repeated to fill it.

        Args:
            global_batch: Images of a batch over all workers.
            epoch: From 0.
            seed: Of the order and the augmentation.
            augment: What happens to each image.
            drop_remainder: Leave the last batch out where it is not full.
            start_batch: Batches of the epoch to pass over.
            worker: Number of this process, from 0.
            workers: How many processes there are. Each gets its own rows, of
                global_batch / workers, of every batch.

        Returns:
            (images uint8 `(batch, size, size, 3)`, labels). Labels are int32
            `(batch,)`; where `augment.mixes` or an image has several, float32
            `(batch, classes)`. Numbers are float32 `(batch,)`.

        Raises:
            DataError: The batch cannot be shared evenly, or images are to be shifted
                out of sight.
        """
        from . import labeled_views, pipeline

        return pipeline.training_batches(
            self.training,
            pipeline.WorkerShard(global_batch, worker, workers),
            labeled_views.make_training_view(
                self.training, augment, self.preprocessing
            ),
            epoch=epoch,
            seed=seed,
            drop_remainder=drop_remainder,
            start_batch=start_batch,
            repeats=augment.repeats,
            mix=labeled_views.make_mix(augment, len(self.classes)),
        )

    def validation_batches(
        self, global_batch: int, *, worker: int = 0, workers: int = 1
    ) -> tf.data.Dataset:
        """Returns every evaluation image once, in a fixed order.

        Build it once and iterate it after every epoch: small sets stay in memory
        after the first pass.

        Returns:
            (images float32 `(batch, size, size, 3)` in 0..255, labels int32
            `(batch,)`, weights float32 `(batch,)`). The last batch is filled up with
            rows of weight 0.
        """
        from . import labeled_views, pipeline

        return pipeline.evaluation_batches(
            self.validation,
            pipeline.WorkerShard(global_batch, worker, workers),
            labeled_views.make_evaluation_view(self.validation, self.preprocessing),
        )

    def sample_images(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns some evaluation images, taken evenly from the whole set.

        Returns:
            (images uint8 `(n, size, size, 3)`, labels int32 `(n,)`), with n the
            smaller of `count` and the size of the set.
        """
        total = self.validation_examples
        numbers = np.linspace(0, total - 1, min(count, total)).astype(int)
        return self.validation_images(np.unique(numbers))

    def validation_images(self, numbers: Any) -> tuple[np.ndarray, np.ndarray]:
        """Returns the evaluation images of these numbers.

        Args:
            numbers: Places in the order of `validation`, in any order.

        Returns:
            (images uint8 `(n, size, size, 3)`, labels int32 `(n,)`; where an image
            has several, float32 0 and 1 `(n, classes)`; numbers float32 `(n,)`).
        """
        from ..augment.random_crop import evaluation_pixels
        from .examples import read_some

        def read(record: Any) -> tuple[Any, Any]:
            image, label = self.validation.image(record)
            return evaluation_pixels(image, self.preprocessing), label

        images, labels = zip(*read_some(self.validation, numbers, read), strict=True)
        return np.stack(images), np.array(labels)
