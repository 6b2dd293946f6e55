"""The data of a detection run: images with objects, and batches of them.

TensorFlow is imported where batches are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_convnext._data import coco_masks
from keras_convnext._data.coco_file import CocoImage, CocoObject

from .source import Source

if TYPE_CHECKING:
    import tensorflow as tf

    from ..recipes.box_augmentation import BoxAugmentation
    from .box_examples import BoxExamples


@dataclass(frozen=True, eq=False)
class BoxSource(Source):
    """Training and validation images with objects.

    Attributes as of `Source`, and

    Attributes:
        category_numbers: The ids that the data has for the classes.
    """

    training: BoxExamples
    validation: BoxExamples
    category_numbers: tuple[int, ...] = ()

    @property
    def image_numbers(self) -> list[int]:
        """The ids that the data has for the validation images."""
        return [image.number for image in self.validation.described()]

    @property
    def has_masks(self) -> bool:
        """Whether the objects have masks, and not boxes alone."""
        return self.training.has_masks and self.validation.has_masks

    # The augmentation is one of boxes, and the last batch is always left out.
    def train(  # type: ignore[override]
        self,
        global_batch: int,
        *,
        epoch: int,
        seed: int,
        augment: BoxAugmentation,
        start_batch: int = 0,
        worker: int = 0,
        workers: int = 1,
    ) -> tf.data.Dataset:
        """Returns one epoch of training batches, as `Source.train` does.

        Wide and high images come in batches of their own, unless the augmentation makes
        all of them square. Images are filled up right and below with the mean color: to
        that square, otherwise to the largest of the worker's rows of a batch.

        Args:
            global_batch: Images of a batch over all workers.
            epoch: From 0.
            seed: Of the order and the augmentation.
            augment: What happens to each image and its objects.
            start_batch: Batches of the epoch to pass over.
            worker: Number of this process, from 0.
            workers: How many processes there are.

        Returns:
            (images uint8 `(batch, height, width, 3)`, truth), which has

            - "size": height and width of the image itself, int32 `(batch, 2)`;
            - "boxes": y0, x0, y1, x1 in pixels, float32 `(batch, max_objects, 4)`, 0
              after the last one;
            - "classes": int32 `(batch, max_objects)`, -1 after the last one;
            - "masks": 0 or 1, uint8 `(batch, objects, height, width)`, of the most
              objects of the batch, where the data has masks;
            - "seed": of what a step draws, int32 `(batch, 2)`.

        Raises:
            DataError: The batch cannot be shared evenly.
        """
        from . import box_views, pipeline

        examples = self.training
        return pipeline.training_batches(
            examples,
            pipeline.WorkerShard(global_batch, worker, workers),
            box_views.make_training_view(examples, augment, self.preprocessing),
            epoch=epoch,
            seed=seed,
            start_batch=start_batch,
            arrange=(
                None
                if augment.is_square
                else box_views.make_arrange(examples, global_batch)
            ),
            collate=box_views.make_collate(examples, augment, self.preprocessing),
        )

    def validation_batches(
        self, global_batch: int, *, worker: int = 0, workers: int = 1
    ) -> tf.data.Dataset:
        """Returns every validation image once, whole, in a fixed order.

        Images are resized by the rule of inference. So give each network one image at a
        time: in a larger batch images are filled up with black to the largest one.

        Returns:
            (images float32 `(batch, h, w, 3)` in 0..255, truth, weights float32
            `(batch,)`). The truth has "number", of the image in `annotations`, int32
            `(batch,)`, "shape", its own height and width, and "size", those that the
            network sees, int32 `(batch, 2)`. The last batch is filled up with rows of
            weight 0 and number -1.
        """
        from . import box_views, pipeline

        return pipeline.evaluation_batches(
            self.validation,
            pipeline.WorkerShard(global_batch, worker, workers),
            box_views.make_evaluation_view(self.validation, self.preprocessing),
            filling=box_views.make_filling(),
        )

    def each_validation_image(self) -> Iterator[np.ndarray]:
        """Yields every validation image, uint8 `(height, width, 3)`, in order."""
        from .graphs import as_written

        records = self.validation.in_order()
        images = records.map(
            as_written(lambda record: self.validation.image(record)[0])
        )
        yield from images.as_numpy_iterator()

    @cached_property
    def annotations(self) -> dict[str, list[dict[str, Any]]]:
        """The validation images and all of their objects in COCO's format.

        "images", "annotations" and "categories" of an instances file. An image's id is
        its number from 0, a category's that of its class from 0. Boxes are left, top,
        width and height in pixels of the image itself, as the data has them; masks are
        run lengths. Crowds are there, too.
        """
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number, image in enumerate(self.validation.described()):
            images.append(
                {
                    "id": number,
                    "file_name": image.file_name,
                    "height": image.height,
                    "width": image.width,
                }
            )
            for one in image.objects:
                entry = {"id": len(annotations) + 1, "image_id": number}
                annotations.append(entry | _annotation(one, image, self.has_masks))
        categories = [{"id": n, "name": name} for n, name in enumerate(self.classes)]
        return {
            "images": images,
            "annotations": annotations,
            "categories": categories,
        }

    # Own sizes cannot be stacked.
    def validation_images(  # type: ignore[override]
        self, numbers: Any
    ) -> tuple[list[np.ndarray], list[dict[str, np.ndarray]]]:
        """Returns the validation images of these numbers, and their objects.

        Args:
            numbers: Places in the order of `validation`, in any order.

        Returns:
            Images uint8 `(height, width, 3)` of their own sizes, and of each "boxes",
            float32 `(objects, 4)`, "classes", int32 `(objects,)`, and where the data
            has masks "masks", uint8 `(objects, height, width)`; without crowds.
        """
        from . import box_views

        return box_views.read_images(self.validation, numbers)


def _annotation(one: CocoObject, image: CocoImage, has_masks: bool) -> dict[str, Any]:
    entry = {
        "category_id": one.label,
        "bbox": list(one.box),
        "area": one.area,
        "iscrowd": int(one.is_crowd),
    }
    if has_masks:
        segmentation = one.segmentation or coco_masks.rectangle(one.box)
        entry["segmentation"] = coco_masks.to_run_lengths(
            segmentation, image.height, image.width
        )
    return entry
