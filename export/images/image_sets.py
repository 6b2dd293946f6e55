"""Where images come from: what `--data` of training names, read without decoding.

A data source has up to two parts: images to learn or measure on, and validation images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from keras_convnext._data import (
    archives,
    arrays,
    class_folders,
    class_tars,
    forms,
    image_lists,
    record_index,
    records,
)
from keras_convnext._data.data_error import DataError, SplitError
from keras_convnext._files import cache_home, is_image
from keras_convnext._messages import UsageError

from . import image_files
from .coco import find_coco
from .image_set import EncodedImage, ImageSet, Splits
from .masks import find_masks

# Those of training's three tasks.
FORMS = f"masks:DIR, coco:FILE.json:IMAGES, {forms.FORMS}"
_EVALUATION_SPLITS = ("validation", "test")


@dataclass(frozen=True)
class _Options:
    """How a source is opened.

    Attributes:
        download: Whether a data set that is not on this machine may be fetched.
        split: Share and seed of the validation examples among records, of a run that
            may have skipped damaged images; None leaves them together.
    """

    download: bool
    split: tuple[float, int] | None


def find(
    flag: str,
    spec: str,
    download: bool = True,
    split: tuple[float, int] | None = None,
) -> Splits:
    """Returns the image sets of a spec, after a check that they exist.

    Args:
        flag: The flag that it was given with, for messages.
        spec: As training's `--data`.
        download: Whether a data set that is not on this machine may be fetched.
        split: Share and seed with which a run drew validation examples from records.
            Of other images those are skipped that cannot be used, as a run may have
            done; None refuses them.

    Raises:
        UsageError: It does not exist, or holds something else.
    """
    kind, rest = forms.parse(spec)
    is_path = ":" not in spec and Path(spec).expanduser().exists()
    if kind not in _KINDS or is_path or not (rest or kind == "digits"):
        hint = forms.proposal(spec, flag)
        raise UsageError(f"--{flag}={spec}: expected {FORMS}. {hint}".rstrip())
    try:
        return _KINDS[kind](rest, _Options(download, split))
    except DataError as error:
        raise UsageError(f"--{flag}: {error}") from error


def of_files(
    words: str,
    files: list[Path],
    root: Path | None = None,
    skip_bad: bool = False,
    naming: str = "top",
) -> ImageSet:
    """Returns image files as an origin.

    Args:
        words: What they are.
        files: Where they lie.
        root: The folder of their class folders; None where they have no classes.
        skip_bad: Whether to leave damaged files out, as a run may have done.
        naming: What a class is named by, of `class_folders.NAMINGS`.
    """
    return image_files.of_paths(
        words,
        files,
        lambda number, contents: EncodedImage(
            files[number].name, contents, _class_of(files[number], root, naming)
        ),
        skip_bad,
    )


def _class_of(path: Path, root: Path | None, naming: str) -> str | None:
    """Returns a file's class, as training names it: by folders below the root."""
    if root is None:
        return None
    first, *below = path.relative_to(root).parts
    # A folder train/ that holds folders holds the classes.
    if len(below) > 1 and first.lower() in class_folders.TRAIN_NAMES:
        root = root / first
    return class_folders.class_of(path, root, naming)


def files_in(folder: Path) -> list[Path]:
    """Returns the image files in a folder and its subfolders, in order; or none."""
    if not archives.is_folder(folder):
        return []
    return list(filter(is_image, class_folders.files_below(folder)))


def _folder(named: str, options: _Options, naming: str) -> Splits:
    if not archives.is_folder(Path(named).expanduser()):
        raise DataError(f"there is no folder {named}")
    folder = archives.open_folder(named)

    of_run = options.split is not None

    def part(root: Path) -> ImageSet:
        files = files_in(root)
        if not files:
            raise DataError(f"{root} holds no image file")
        has_classes = of_run or all(file.parent != root for file in files)
        below = root if has_classes else None
        return of_files(str(root), files, below, of_run, naming)

    training, validation = (class_folders.find_roots if of_run else _roots)(folder)
    whole = part(training)
    if validation is None:
        return Splits(whole, whole, undivided=True)
    return Splits(whole, part(validation))


def _roots(folder: Path) -> tuple[Path, Path | None]:
    """Returns the folders of both parts; one of all images where it has not both."""
    below = {path.name.lower(): path for path in class_folders.folders_in(folder)}
    train, validation = (
        [below[name] for name in names if name in below]
        for names in (class_folders.TRAIN_NAMES, class_folders.EVALUATION_NAMES)
    )
    if train and validation:
        return train[0], validation[0]
    return [*train, *validation, folder][0], None


def _files(named: str, options: _Options) -> Splits:
    of_run = options.split is not None
    listed = image_lists.read(named, target=None, skip_missing=of_run)
    try:
        parts = image_lists.divide(listed)
    except SplitError:
        parts = image_lists.divide(listed, "all")

    def part(images: tuple[image_lists.ListedImage, ...]) -> ImageSet:
        return image_files.of_paths(
            str(listed.file),
            [image.path for image in images],
            lambda number, contents: EncodedImage(
                images[number].path.name, contents, images[number].label or None
            ),
            of_run,
        )

    sets = [part(images) for images in parts]
    return Splits(sets[0], sets[-1], undivided=len(sets) == 1)


def _array(named: str, _: _Options) -> Splits:
    file = Path(named).expanduser()
    found = arrays.read_npz(named)

    def part(name: str) -> ImageSet | None:
        if f"{name}_images" not in found:
            return None
        images = found[f"{name}_images"]
        if images.ndim == 3:
            images = images[..., None]
        if (
            images.ndim != 4
            or images.dtype != np.uint8
            or images.shape[3] not in (1, 3)
        ):
            raise DataError(
                f"{file}: {name}_images is {images.dtype} {images.shape}, not uint8 "
                "(count, height, width, 3)"
            )
        labels = _words(found.get(f"{name}_labels"), found.get("classes"), len(images))
        return ImageSet(
            f"{name}_images of {file}",
            len(images),
            partial(_encoded_rows, name, images, labels),
        )

    splits = Splits(part("train"), part("test"))
    if splits == Splits(None, None):
        raise DataError(f"{file} has neither train_images nor test_images")
    return splits


def _words(
    labels: np.ndarray | None, classes: np.ndarray | None, count: int
) -> list[str | None]:
    """Returns the class of each row of an array in words, `None` where not told."""
    if labels is None or labels.shape != (count,):
        return [None] * count
    if classes is None:
        return [str(label) for label in labels]
    return [str(classes[label]) for label in labels]


def _encoded_rows(
    name: str, images: np.ndarray, labels: list[str | None], numbers: Iterable[int]
) -> list[EncodedImage]:
    shape = (*images.shape[1:3], 3)
    return [
        EncodedImage(
            f"{name}_{number}",
            image_files.to_png(np.broadcast_to(images[number], shape)),
            labels[number],
        )
        for number in numbers
    ]


def _records(spec: str, options: _Options, store: str) -> Splits:
    share, seed = options.split or (None, 0)
    found = records.load(spec, store=store, validation_share=share, seed=seed)
    return _of_records(f"{store}:{spec}", found)


def _class_tars(named: str, options: _Options) -> Splits:
    share, seed = options.split or (None, 0)
    found = class_tars.load(named, validation_share=share, seed=seed)
    return _of_records(f"class_tars:{named}", found)


def _of_records(origin: str, found: record_index.RecordFiles) -> Splits:
    def part(words: str, held: record_index.Records) -> ImageSet:
        def read(numbers: Iterable[int]) -> list[EncodedImage]:
            rows = [(number, *held.read(number)) for number in numbers]
            return [
                EncodedImage(f"{words}_{number}", contents, found.classes[label])
                for number, contents, label in rows
            ]

        return ImageSet(f"{origin}, {words}", held.count, read)

    training = part("train", found.train)
    if found.train is found.validation:
        return Splits(training, training, undivided=True)
    return Splits(training, part("validation", found.validation))


def _array_records(path: str, options: _Options) -> Splits:
    prepared = forms.prepared_in(path)
    if prepared is None:
        return _records(path, options, "array_record")
    return _named(prepared, options)


def _named(name: str, options: _Options) -> Splits:
    import tensorflow_datasets as tfds

    # Where training keeps what it prepares itself, such as the digits.
    own = cache_home() / "datasets"
    try:
        if prepared := forms.prepared_in(name):
            builder = tfds.builder_from_directory(prepared)
        else:
            folder = str(own) if (own / name).is_dir() else None
            builder = tfds.builder(name, data_dir=folder)
        if options.download and not builder.info.splits:
            builder.download_and_prepare()
    except Exception as error:
        # Builders fail in every way that downloading and parsing can.
        reason = str(error).strip().partition("\n")[0][:200]
        raise DataError(f"tfds:{name} cannot be loaded: {reason}") from error
    features = builder.info.features
    images = [key for key in features if isinstance(features[key], tfds.features.Image)]
    if not images:
        raise DataError(f"tfds:{name} holds no images; it has {', '.join(features)}")
    classes = [
        key for key in features if isinstance(features[key], tfds.features.ClassLabel)
    ]

    def part(splits: tuple[str, ...]) -> ImageSet | None:
        for split in splits:
            if split in builder.info.splits:
                return ImageSet(
                    f"tfds:{name}, {split}",
                    builder.info.splits[split].num_examples,
                    partial(_streamed, builder, split, images[0], classes[:1]),
                    streamed=True,
                )
        return None

    return Splits(part(("train",)), part(_EVALUATION_SPLITS))


def _streamed(
    builder: Any, split: str, image: str, classes: list[str], numbers: Iterable[int]
) -> list[EncodedImage]:
    import tensorflow_datasets as tfds

    wanted = list(numbers)
    rows = builder.as_dataset(
        split=split,
        shuffle_files=False,
        decoders={image: tfds.decode.SkipDecoding()},
        read_config=tfds.ReadConfig(try_autocache=False),
    ).take(max(wanted, default=-1) + 1)
    names = builder.info.features[classes[0]].names if classes else ()
    found = [
        EncodedImage(
            f"{split}_{number}", row[image], names[row[classes[0]]] if classes else None
        )
        for number, row in enumerate(rows.as_numpy_iterator())
    ]
    return [found[number] for number in wanted]


def _masks(named: str, options: _Options) -> Splits:
    return find_masks(named, skip_bad=options.split is not None)


def _coco(named: str, options: _Options) -> Splits:
    return find_coco(named, skip_bad=options.split is not None)


_KINDS: dict[str, Callable[[str, _Options], Splits]] = {
    "digits": lambda _, options: _named("digits", options),
    **{kind: partial(_folder, naming=naming) for kind, naming in forms.FOLDERS.items()},
    "files": _files,
    "array": _array,
    "masks": _masks,
    "coco": _coco,
    "tfrecord": partial(_records, store="tfrecord"),
    "array_record": _array_records,
    "class_tars": _class_tars,
    "tfds": _named,
}
