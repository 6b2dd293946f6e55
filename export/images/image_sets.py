"""Where images come from: a folder, an array file or a tensorflow-datasets set.

A spec such as `folder:PATH` has up to two parts: images to learn or measure on, and
images held back for judging. Nothing is decoded before images are drawn.
"""

from __future__ import annotations

import io
import os
import unicodedata
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_convnext._messages import UsageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")
DATA_FORMS = "folder:PATH, array:FILE.npz or tfds:NAME"
# In the order of preference; the names that training looks for, too.
_TRAINING_FOLDERS = ("train", "training")
_VALIDATION_FOLDERS = ("val", "validation", "valid", "test", "testing")
_VALIDATION_SPLITS = ("validation", "test")


@dataclass(frozen=True)
class EncodedImage:
    """An encoded image, what it is called, and its class where that is known."""

    name: str
    contents: bytes
    label: str | None = None


@dataclass(frozen=True)
class ImageSet:
    """Images that can be had.

    Attributes:
        words: What they are, for people.
        count: How many there are.
        read: Returns the images of these numbers, in the numbers' order.
        streamed: Whether reading a number means reading all before it.
    """

    words: str
    count: int
    read: Callable[[Iterable[int]], list[EncodedImage]]
    streamed: bool = False

    def order(self, seed: int = 0) -> np.ndarray:
        """Returns the numbers in a random order, in their own where streamed."""
        if self.streamed:
            return np.arange(self.count)
        return np.random.default_rng(seed).permutation(self.count)


@dataclass(frozen=True)
class Splits:
    """The two parts of what a spec names; `None` for one that it has not.

    Attributes:
        training: Images that a model may have learned from.
        validation: Images apart from those.
        undivided: Whether both are the same images.
    """

    training: ImageSet | None
    validation: ImageSet | None
    undivided: bool = False


def find(flag: str, spec: str, download: bool = True) -> Splits:
    """Returns what a spec names, having looked whether it is there.

    Args:
        flag: The flag that it was given with, for messages.
        spec: One of `DATA_FORMS`.
        download: Whether a data set that is not on this machine may be fetched.

    Raises:
        UsageError: There is no such thing, or it holds something else.
    """
    kind, _, rest = spec.partition(":")
    if kind not in _KINDS or not rest:
        near = f"; --{flag}=folder:{spec}?" if Path(spec).expanduser().is_dir() else ""
        raise UsageError(f"--{flag}={spec}: expected {DATA_FORMS}{near}")
    try:
        return _KINDS[kind](rest, download)
    except UsageError as mistake:
        raise UsageError(f"--{flag}: {mistake}") from mistake


def of_files(words: str, files: list[Path], root: Path | None = None) -> ImageSet:
    """Returns image files as an origin.

    Args:
        words: What they are.
        files: Where they lie.
        root: The folder of their class folders; None where they have no classes.
    """

    def read(numbers: Iterable[int]) -> list[EncodedImage]:
        chosen = [files[number] for number in numbers]
        return [
            EncodedImage(path.name, path.read_bytes(), _class_of(path, root))
            for path in chosen
        ]

    return ImageSet(words, len(files), read)


def _class_of(path: Path, root: Path | None) -> str | None:
    """Returns a file's class, as training names it: by the folder below the root."""
    if root is None:
        return None
    first, *below = path.relative_to(root).parts
    # A folder train/ that holds folders holds the classes.
    if len(below) > 1 and first.lower() in _TRAINING_FOLDERS:
        first = below[0]
    return unicodedata.normalize("NFC", first)


def files_in(folder: Path) -> list[Path]:
    """Returns the image files in a folder and its subfolders, in order."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def _folder(named: str, _: bool) -> Splits:
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}")

    def part(root: Path) -> ImageSet:
        files = files_in(root)
        if not files:
            raise UsageError(f"{root} holds no {', '.join(SUFFIXES)} file")
        has_classes = all(file.parent != root for file in files)
        return of_files(str(root), files, root if has_classes else None)

    below = {path.name.lower(): path for path in folder.iterdir() if path.is_dir()}
    train = [below[name] for name in _TRAINING_FOLDERS if name in below]
    validation = [below[name] for name in _VALIDATION_FOLDERS if name in below]
    if train and validation:
        return Splits(part(train[0]), part(validation[0]))
    whole = part([*train, *validation, folder][0])
    return Splits(whole, whole, undivided=True)


def _array(named: str, _: bool) -> Splits:
    file = Path(named).expanduser()
    try:
        with np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(f"{file} cannot be read as an .npz file: {error}") from error

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
            raise UsageError(
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
        raise UsageError(f"{file} has neither train_images nor test_images")
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
    made = []
    for number in numbers:
        image = Image.fromarray(
            np.broadcast_to(images[number], (*images.shape[1:3], 3))
        )
        file = io.BytesIO()
        image.save(file, format="PNG")
        made.append(EncodedImage(f"{name}_{number}", file.getvalue(), labels[number]))
    return made


def _named(name: str, download: bool) -> Splits:
    import tensorflow_datasets as tfds

    # The second is where training keeps what it prepares itself, such as the digits.
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    own = cache / "keras_convnext" / "datasets"
    try:
        folder = str(own) if (own / name).is_dir() else None
        builder = tfds.builder(name, data_dir=folder)
        if download and not builder.info.splits:
            builder.download_and_prepare()
    except Exception as error:
        # Builders fail in every way that downloading and parsing can.
        reason = str(error).strip().partition("\n")[0][:200]
        raise UsageError(f"tfds:{name} cannot be had: {reason}") from error
    features = builder.info.features
    images = [key for key in features if isinstance(features[key], tfds.features.Image)]
    if not images:
        raise UsageError(f"tfds:{name} holds no images; it has {', '.join(features)}")
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

    return Splits(part(("train",)), part(_VALIDATION_SPLITS))


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


_KINDS: dict[str, Callable[[str, bool], Splits]] = {
    "folder": _folder,
    "array": _array,
    "tfds": _named,
}
