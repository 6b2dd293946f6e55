"""The images of a run: where they come from, and the batches made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_convnext._data import arrays, forms, records
from keras_convnext._data.data_error import DataError
from keras_convnext._files import cache_home
from keras_convnext.preprocessing import IMAGENET, Preprocessing

from ..augment.random_crop import evaluation_pixels
from ..recipes.augmentation import Augmentation
from . import pipeline
from .examples import Examples, Pixels, Records
from .readers import folder, tfds

__all__ = ["DataError", "Source", "from_arrays", "load"]


@dataclass(frozen=True, eq=False)
class Source:
    """Training and evaluation images with their classes.

    Attributes:
        name: What the person called it.
        classes: Names in the order of the labels.
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
            `(batch,)`; where `augment.mixes`, float32 `(batch, classes)`.

        Raises:
            DataError: The batch cannot be shared evenly.
        """
        return pipeline.training_batches(
            self.training,
            pipeline.WorkerShard(global_batch, worker, workers),
            epoch=epoch,
            seed=seed,
            augmentation=augment,
            preprocessing=self.preprocessing,
            classes=len(self.classes),
            drop_remainder=drop_remainder,
            start_batch=start_batch,
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
        return pipeline.evaluation_batches(
            self.validation,
            pipeline.WorkerShard(global_batch, worker, workers),
            self.preprocessing,
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
            numbers: Places in the order of `evaluation`, rising.

        Returns:
            (images uint8 `(n, size, size, 3)`, labels int32 `(n,)`).
        """
        chosen = tf.constant(numbers, tf.int64)
        rows = (
            self.validation.in_order()
            .enumerate()
            .filter(lambda number, *_: tf.reduce_any(chosen == number))
            .map(lambda _, record: self.validation.image(record))
            .map(
                lambda image, label: (
                    evaluation_pixels(image, self.preprocessing),
                    label,
                )
            )
        )
        images, labels = zip(*rows.as_numpy_iterator(), strict=True)
        return np.stack(images), np.array(labels, np.int32)


def load(
    spec: str,
    *,
    size_px: int,
    validation_share: float = 0.2,
    seed: int = 0,
    skip_bad_images: bool = False,
    preprocessing: Preprocessing | None = None,
    data_dir: str | None = None,
    split: str = "validation",
) -> Source:
    """Finds the data, checks all of it, and splits it where it is not split.

    Args:
        spec: "digits", "folder:PATH", "array:PATH.npz", "tfrecord:FILES",
            "array_record:FILES", or a name that tensorflow-datasets knows, with or
            without "tfds:" before it.
        size_px: Side of the square images.
        validation_share: Part for validation if the data has no split of its own.
        seed: Of that split.
        skip_bad_images: Leave unreadable images out instead of refusing.
        preprocessing: How to evaluate; None for the way of the kind of data.
        data_dir: Where tensorflow-datasets' data sets lie. None is its own place,
            and the user's cache for the digits.
        split: Which examples are `validation`, "validation", "train", "test" or
            "all". With the last two `training` is the same examples: the data need no
            part to train on.

    Raises:
        DataError: The data cannot be used; says all that is wrong.
    """
    if not 0 < validation_share < 1:
        raise DataError(
            f"A share of {validation_share} cannot be used for validation; it "
            "must lie between 0 and 1."
        )
    kind, rest = forms.parse(spec)
    whole = split if split in ("test", "all") else None
    options = _Options(validation_share, seed, skip_bad_images, data_dir, whole)
    loader = _KINDS.get(kind)
    is_path = (
        ":" not in spec and Path(spec).expanduser().exists() and not tfds.is_known(spec)
    )
    if loader is None or is_path or not (rest or kind == "digits"):
        hint = forms.proposal(spec)
        raise DataError(f"No data under {spec!r}. Give {forms.FORMS}. {hint}".strip())
    try:
        source = loader(rest, options)
    except DataError as error:
        hint = forms.proposal(rest)
        if not hint or f"--data={kind}:" in hint:
            raise
        raise DataError(f"{error} {hint}") from error
    if split == "train":
        source = replace(source, validation=source.training)
    chosen = preprocessing or replace(source.preprocessing, size_px=size_px)
    return replace(source, name=spec, preprocessing=chosen)


def from_arrays(
    train_images: Any,
    train_labels: Any,
    eval_images: Any,
    eval_labels: Any,
    classes: Sequence[str],
    *,
    name: str = "array",
    size_px: int | None = None,
    preprocessing: Preprocessing | None = None,
) -> Source:
    """Returns images that are in memory already.

    Args:
        train_images: uint8 `(count, height, width, 3)`.
        train_labels: Whole numbers `(count,)`.
        eval_images: As train_images.
        eval_labels: As train_labels.
        classes: Names in the order of the labels.
        name: What to call it.
        size_px: Side of the square images; None is their height.
        preprocessing: How to evaluate; None takes the whole image.

    Raises:
        DataError: The arrays have other shapes or types, or labels without a class.
    """
    count = len(classes)
    training = Pixels(*arrays.checked(train_images, train_labels, count, "training"))
    validation = Pixels(*arrays.checked(eval_images, eval_labels, count, "evaluation"))
    source = Source(name, tuple(classes), training, validation, _WHOLE)
    size_px = size_px or training.images.shape[1]
    chosen = preprocessing or replace(_WHOLE, size_px=size_px)
    return replace(source, preprocessing=chosen)


# Images made small for a network are seen whole; photographs lose their rim.
_WHOLE = replace(IMAGENET, crop_fraction=1.0)


@dataclass(frozen=True)
class _Options:
    validation_share: float
    seed: int
    skip_bad_images: bool
    data_dir: str | None
    whole: str | None


def _load_digits(_: str, options: _Options) -> Source:
    # Importing it registers its builder with tensorflow-datasets.
    from .readers import digits

    digits.require_scikit_learn()
    data_dir = options.data_dir or str(cache_home() / "datasets")
    return _load_named(digits.NAME, replace(options, data_dir=data_dir), quiet=True)


def _load_named(name: str, options: _Options, quiet: bool = False) -> Source:
    found = tfds.load(
        name,
        data_dir=options.data_dir,
        validation_share=options.validation_share,
        quiet=quiet,
        whole=options.whole,
    )
    return Source(
        name,
        found.classes,
        found.train,
        found.validation,
        _WHOLE if found.is_small else IMAGENET,
        drawn=found.drawn,
    )


def _load_folder(path: str, options: _Options) -> Source:
    cache, skip = cache_home(), options.skip_bad_images
    if options.whole is not None:
        found = folder.load_whole(
            path, part=options.whole, skip_bad_images=skip, cache=cache
        )
    else:
        found = folder.load(
            path,
            validation_share=options.validation_share,
            seed=options.seed,
            skip_bad_images=skip,
            cache=cache,
        )
    return Source(
        path,
        found.classes,
        found.train,
        found.validation,
        IMAGENET,
        found.skipped,
        found.notices,
        found.drawn,
    )


def _load_records(spec: str, options: _Options, store: str) -> Source:
    if options.whole is not None:
        found = records.load_whole(spec, store=store, part=options.whole)
    else:
        found = records.load(
            spec,
            store=store,
            validation_share=options.validation_share,
            seed=options.seed,
        )
    training, validation = (
        Records(part.count, part.read, part.labels, part.names)
        for part in (found.train, found.validation)
    )
    return Source(
        spec, found.classes, training, validation, IMAGENET, drawn=found.drawn
    )


def _load_array_records(path: str, options: _Options) -> Source:
    prepared = forms.prepared_in(path)
    if prepared is None:
        return _load_records(path, options, "array_record")
    return _load_named(prepared, options)


def _load_array(path: str, options: _Options) -> Source:
    if options.whole is not None:
        classes, images = arrays.load_whole(path, part=options.whole)
        return Source(path, classes, Pixels(*images), Pixels(*images), _WHOLE)
    # The file says which images are for validation.
    classes, training, validation = arrays.load(path)
    return Source(path, classes, Pixels(*training), Pixels(*validation), _WHOLE)


_KINDS: dict[str, Callable[[str, _Options], Source]] = {
    "digits": _load_digits,
    "folder": _load_folder,
    "array": _load_array,
    "tfrecord": partial(_load_records, store="tfrecord"),
    "array_record": _load_array_records,
    "tfds": _load_named,
}
