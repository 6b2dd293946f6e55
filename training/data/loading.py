"""Finds the images that `--data` names: checked, and split where they are not split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from keras_convnext._data import arrays, class_tars, forms, record_index, records
from keras_convnext._data.data_error import DataError, check_share
from keras_convnext._files import cache_home
from keras_convnext.preprocessing import IMAGENET, Preprocessing

from .examples import Files, Records
from .folds import take_fold
from .pixels import Pixels
from .readers import folder, image_list, tfds
from .readers.found import Found
from .source import WHOLE, Source


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
    target: str = "label",
    folds: int | None = None,
    fold: int | None = None,
) -> Source:
    """Finds the data, checks all of it, and splits it where it is not split.

    Args:
        spec: "digits", "folder:PATH" ("folder_leaf:", "folder_path:"),
            "files:LIST.csv", "array:PATH.npz", "tfrecord:FILES",
            "array_record:FILES", "class_tars:PATH", or a name that tensorflow-datasets
            knows, with or without "tfds:" before it.
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
        target: What an image is labeled with: a class ("label"), several "labels" or a
            "number". The last two are for "files:" alone.
        folds: Parts that the images are divided into anew; see `folds.take_fold`. None
            leaves them as they are divided.
        fold: Which of them is for validation, from 1.

    Raises:
        DataError: The data cannot be used; says all that is wrong.
    """
    check_share(validation_share)
    kind, rest = forms.parse(spec)
    whole = split if split in ("test", "all") else None
    options = _Options(validation_share, seed, skip_bad_images, data_dir, whole, target)
    if (other := forms.for_other_tasks(kind, rest)) is not None:
        raise DataError(f"{other}. Classifying images takes {forms.FORMS}.")
    if target != "label" and kind != "files":
        raise DataError(
            f"target={target} takes files:LIST.csv, and not {spec!r}. "
            f"{forms.proposal(spec)}".strip()
        )
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
        said = "folder" if kind in forms.FOLDERS else kind
        if not hint or f"--data={said}:" in hint:
            raise
        raise DataError(f"{error} {hint}") from error
    if folds is not None and fold is not None and whole is None:
        source = take_fold(source, folds, fold, seed)
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
    source = Source(name, tuple(classes), training, validation, WHOLE)
    size_px = size_px or training.images.shape[1]
    chosen = preprocessing or replace(WHOLE, size_px=size_px)
    return replace(source, preprocessing=chosen)


@dataclass(frozen=True)
class _Options:
    validation_share: float
    seed: int
    skip_bad_images: bool
    data_dir: str | None
    whole: str | None
    target: str


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
        WHOLE if found.is_small else IMAGENET,
        drawn=found.drawn,
    )


def _load_folder(path: str, options: _Options, naming: str = "top") -> Source:
    cache, skip = cache_home(), options.skip_bad_images
    if options.whole is not None:
        found = folder.load_whole(
            path,
            part=options.whole,
            skip_bad_images=skip,
            cache=cache,
            naming=naming,
        )
    else:
        found = folder.load(
            path,
            validation_share=options.validation_share,
            seed=options.seed,
            skip_bad_images=skip,
            cache=cache,
            naming=naming,
        )
    return _of_files(path, found)


def _load_list(path: str, options: _Options) -> Source:
    found = image_list.load(
        path,
        validation_share=options.validation_share,
        seed=options.seed,
        skip_bad_images=options.skip_bad_images,
        cache=cache_home(),
        whole=options.whole,
        target=options.target,
    )
    return _of_files(path, found)


def _of_files(path: str, found: Found[tuple[str, ...], Files]) -> Source:
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
    return _of_records(spec, found)


def _load_class_tars(path: str, options: _Options) -> Source:
    if options.whole == "test":
        raise DataError(f"{path} has no part for testing: its tars are classes.")
    share = None if options.whole else options.validation_share
    return _of_records(
        path, class_tars.load(path, validation_share=share, seed=options.seed)
    )


def _of_records(spec: str, found: record_index.RecordFiles) -> Source:
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
        return Source(path, classes, Pixels(*images), Pixels(*images), WHOLE)
    # The file says which images are for validation.
    classes, training, validation = arrays.load(path)
    return Source(path, classes, Pixels(*training), Pixels(*validation), WHOLE)


_KINDS: dict[str, Callable[[str, _Options], Source]] = {
    "digits": _load_digits,
    **{
        kind: partial(_load_folder, naming=naming)
        for kind, naming in forms.FOLDERS.items()
    },
    "files": _load_list,
    "array": _load_array,
    "tfrecord": partial(_load_records, store="tfrecord"),
    "array_record": _load_array_records,
    "class_tars": _load_class_tars,
    "tfds": _load_named,
}
