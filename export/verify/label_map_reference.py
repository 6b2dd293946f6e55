"""What Keras says of the pixels of the images that an export is compared on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_convnext._messages import UsageError
from keras_convnext.inference import segmenter
from keras_convnext.inference.segmenter import Segmenter
from keras_convnext.segmentation import count_pixels, resized_shape, score
from keras_convnext.whole_images import resize_image

from ..images.comparison import ComparisonImages, decode
from ..model.loaded_model import Source

_LABELS = 65536

LabelMaps = Sequence[np.ndarray] | np.ndarray


@dataclass(frozen=True)
class LabelMapReference:
    """Images, and the class that Keras gives to each of their pixels.

    Attributes:
        names: What the images are called.
        files: The encoded images.
        images: Their pixels, uint8 `(height, width, 3)`.
        tensors: The middle of each as a network of one size sees it, float32 `(count,
            size_px, size_px, 3)`, 0..255.
        maps: Keras' label map of each image, `(height, width)`.
        tensor_maps: Keras' label map of each tensor, `(count, size_px, size_px)`.
        labels: The class names.
        masks: The true label of each pixel, `(height, width)`; `None` where not all of
            the images come with a mask.
        tensor_masks: The same of each tensor, `(count, size_px, size_px)`.
        ignored: The label of pixels that do not count.
        kind: "label_map".
    """

    names: tuple[str, ...]
    files: tuple[bytes, ...]
    images: tuple[np.ndarray, ...]
    tensors: np.ndarray
    maps: tuple[np.ndarray, ...]
    tensor_maps: np.ndarray
    labels: tuple[str, ...]
    masks: tuple[np.ndarray, ...] | None = None
    tensor_masks: np.ndarray | None = None
    ignored: int = 255
    kind: str = "label_map"

    def miou(
        self,
        masks: LabelMaps | None,
        maps: LabelMaps,
    ) -> float | None:
        """Returns the mean intersection over union of label maps; None if unknown."""
        if masks is None:
            return None
        classes = len(self.labels)
        counts = sum(
            count_pixels(mask, found, classes, self.ignored)
            for mask, found in zip(masks, maps, strict=True)
        )
        return score(np.asarray(counts)).mean_iou


def ask_keras(source: Source, compared: ComparisonImages) -> LabelMapReference:
    """Returns Keras' own label maps.

    Args:
        source: The model.
        compared: What to ask about.

    Raises:
        UsageError: An image cannot be decoded, a mask has another size, or the model
            gives one class to every pixel.
    """
    images = [decode(image) for image in compared.members]
    size_px = source.preprocessing.size_px
    tensors = np.stack([crop_view(image, size_px) for image in images])
    asked = segmenter.from_keras(source, "keras")
    maps = asked(images)
    if all(np.ptp(found) == 0 for found in maps) and len({m[0, 0] for m in maps}) == 1:
        raise UsageError(
            f"{source.name} gives one class to every pixel ({len(images)} images "
            "tried): there is nothing to compare an exported file by; is the model "
            "trained, and does it get images as it was trained on (--normalization)?"
        )
    masks = _masks(compared, images, source.labels)
    tensor_masks = None
    if masks is not None:
        tensor_masks = np.stack([crop_mask(each, size_px) for each in masks])
    return LabelMapReference(
        names=tuple(image.name for image in compared.members),
        files=tuple(image.contents for image in compared.members),
        images=tuple(images),
        tensors=tensors,
        maps=tuple(maps),
        tensor_maps=np.concatenate(
            [label_crops(asked, row[np.newaxis]) for row in tensors]
        ),
        labels=source.labels,
        masks=masks,
        tensor_masks=tensor_masks,
        ignored=255 if len(source.labels) <= 255 else 65535,
    )


def label_crops(asked: Segmenter, tensors: np.ndarray) -> np.ndarray:
    """Returns a Keras model's label maps of images of one size.

    Args:
        asked: The model.
        tensors: The images, float32 `(batch, size_px, size_px, 3)` in 0..255.

    Returns:
        Integers `(batch, size_px, size_px)`.
    """
    assert asked.predict is not None
    return np.argmax(asked.predict(tensors), axis=-1)


def crop_view(image: np.ndarray, size_px: int) -> np.ndarray:
    """Returns the middle of an image as a network of one size sees it.

    Args:
        image: uint8 `(height, width, 3)`.
        size_px: Side of the middle; edges are repeated where an image has less.

    Returns:
        float32 `(size_px, size_px, 3)`, whole numbers in 0..255.
    """
    return _middle(resize_image(image, size_px), size_px)


def crop_mask(mask: np.ndarray, size_px: int) -> np.ndarray:
    """Returns the labels of what `crop_view` returns of an image, the nearest ones.

    Args:
        mask: `(height, width)`.
        size_px: Side of the middle.
    """
    height, width = mask.shape
    rows, columns = (
        ((np.arange(there) + 0.5) * (own / there)).astype(int)
        for own, there in zip(
            mask.shape, resized_shape(height, width, size_px), strict=True
        )
    )
    return _middle(mask[rows[:, np.newaxis], columns], size_px)


def _middle(values: np.ndarray, size_px: int) -> np.ndarray:
    missing = [(0, max(size_px - side, 0)) for side in values.shape[:2]]
    padded = np.pad(values, [*missing, *[(0, 0)] * (values.ndim - 2)], mode="edge")
    top, left = ((side - size_px) // 2 for side in padded.shape[:2])
    return padded[top : top + size_px, left : left + size_px]


def _masks(
    compared: ComparisonImages, images: Sequence[np.ndarray], labels: Sequence[str]
) -> tuple[np.ndarray, ...] | None:
    """Returns the images' masks in the model's numbers, if all of them have one."""
    masks = []
    for member, image in zip(compared.members, images, strict=True):
        mask = member.mask
        if mask is None or not set(member.classes) <= set(labels):
            return None
        if mask.shape != image.shape[:2]:
            raise UsageError(
                f"the mask of {member.name} has {mask.shape[1]} x {mask.shape[0]} "
                f"pixels, its image {image.shape[1]} x {image.shape[0]}"
            )
        numbers = [labels.index(name) for name in member.classes]
        # What is no class keeps its number, which is above them all.
        table = np.arange(_LABELS, dtype=np.int32)
        table[: len(numbers)] = numbers
        masks.append(table[mask])
    return tuple(masks)
