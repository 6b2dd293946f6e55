"""The data of a segmentation run: images with a mask each, and batches of them.

TensorFlow is imported where batches are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_convnext._data.mask_classes import ignored_label
from keras_convnext.segmentation.palette import palette_for

from .source import Source

if TYPE_CHECKING:
    import tensorflow as tf

    from ..recipes.mask_augmentation import MaskAugmentation


@dataclass(frozen=True, eq=False)
class MaskSource(Source):
    """Training and validation images with masks.

    Masks hold labels: 0 to `len(classes) - 1`, and `ignored` where pixels do not count;
    uint8, or int32 for more than 255 classes. Attributes as of `Source`.
    """

    @property
    def palette(self) -> np.ndarray:
        """A color for each class, uint8 `(classes, 3)`."""
        return palette_for(self.classes)

    @property
    def ignored(self) -> int:
        """The label of pixels that do not count: 255, or 65535 of many classes."""
        return ignored_label(len(self.classes))

    # The augmentation is one of masks, and the last batch is always left out.
    def train(  # type: ignore[override]
        self,
        global_batch: int,
        *,
        epoch: int,
        seed: int,
        augment: MaskAugmentation,
        start_batch: int = 0,
        worker: int = 0,
        workers: int = 1,
    ) -> tf.data.Dataset:
        """Returns one epoch of training batches, as `Source.train` does.

        Args:
            global_batch: Images of a batch over all workers.
            epoch: From 0.
            seed: Of the order and the augmentation.
            augment: What happens to each image and its mask.
            start_batch: Batches of the epoch to pass over.
            worker: Number of this process, from 0.
            workers: How many processes there are.

        Returns:
            (images uint8 `(batch, size, size, 3)`, masks `(batch, size, size)`).

        Raises:
            DataError: The batch cannot be shared evenly.
        """
        from . import mask_views, pipeline

        return pipeline.training_batches(
            self.training,
            pipeline.WorkerShard(global_batch, worker, workers),
            mask_views.make_training_view(
                self.training, augment, self.preprocessing, len(self.classes)
            ),
            epoch=epoch,
            seed=seed,
            start_batch=start_batch,
        )

    def validation_batches(
        self, global_batch: int, *, worker: int = 0, workers: int = 1
    ) -> tf.data.Dataset:
        """Returns every validation image once, whole, in a fixed order.

        Images are resized with their ratio kept, to `segmentation.resized_shape`, and
        masks have the images' own size. So give each network one image at a time: in a
        larger batch images are filled up with black to the largest one, and masks with
        pixels that do not count.

        Returns:
            (images float32 `(batch, h, w, 3)` in 0..255, masks `(batch, height,
            width)`, weights float32 `(batch,)`). The last batch is filled up with rows
            of weight 0, whose masks do not count.
        """
        from . import mask_views, pipeline

        return pipeline.evaluation_batches(
            self.validation,
            pipeline.WorkerShard(global_batch, worker, workers),
            mask_views.make_evaluation_view(self.validation, self.preprocessing),
            filling=mask_views.make_filling(len(self.classes)),
        )

    # Own sizes cannot be stacked.
    def validation_images(  # type: ignore[override]
        self, numbers: Any
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Returns the validation images of these numbers, and their masks.

        Args:
            numbers: Places in the order of `validation`, in any order.

        Returns:
            Images uint8 `(height, width, 3)` and masks `(height, width)`, each of its
            own size.
        """
        from . import mask_views

        return mask_views.read_images(self.validation, numbers)

    def each_validation_image(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields every validation image and its mask, as `validation_images` does."""
        from .graphs import as_written

        records = self.validation.in_order().map(as_written(self.validation.image))
        yield from records.as_numpy_iterator()
