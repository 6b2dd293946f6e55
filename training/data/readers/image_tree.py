"""A person's own images without labels: every image file below a folder.

Where the folder has train/ and val/ (or validation/, valid/, test/), they are the
parts; otherwise validation images are drawn from all.
"""

from __future__ import annotations

from pathlib import Path

from keras_convnext._data import archives, class_folders
from keras_convnext._data.data_error import DataError
from keras_convnext._files import legible

from ..examples import Files
from ..file_check import check_files, remarks, unreadable
from . import same_images
from .class_files import ByClass, keep_usable, make_files, split_classes
from .found import Found

# All images are of one class, which nobody asks for.
_ALL = ""


def load(
    path: str,
    *,
    validation_share: float,
    seed: int,
    skip_bad_images: bool,
    cache: Path,
) -> Found[tuple[str, ...], Files]:
    """Lists, checks and splits the images under a path.

    Args:
        path: The folder, an archive of it, or a folder in an archive.
        validation_share: Part for validation where the folder is not split already.
        seed: Of that split.
        skip_bad_images: Leave unreadable images out instead of refusing.
        cache: As in `folder.load`.

    Returns:
        What was found; it has no classes.

    Raises:
        DataError: With all that is wrong.
    """
    root = archives.open_folder(path)
    parts = [(each, _images_below(each)) for each in _roots(root)]
    empty = [str(each) for each, files in parts if not files]
    if empty:
        raise DataError(f"{', '.join(empty)} has no image files, at any depth.")
    files = [file for _, files in parts for file in files]
    checked = check_files(root, files, cache)
    bad = [image for image in checked.values() if image.problem]
    if bad and not skip_bad_images:
        raise DataError(unreadable(bad, len(checked)))
    usable: list[ByClass[str]] = [
        keep_usable({_ALL: files}, checked) for _, files in parts
    ]
    few = [
        f"{each} has {len(found[_ALL])} that can be read"
        for (each, _), found in zip(parts, usable, strict=True)
        if len(found[_ALL]) < (2 if len(parts) == 1 else 1)
    ]
    if few:
        raise DataError(
            f"{'; '.join(few)}: pre-training needs an image to learn from and one for "
            "validation, and better thousands."
        )
    if len(parts) == 1:
        usable = list(split_classes(usable[0], validation_share, seed))
    digests = {file: image.digest for file, image in checked.items()}
    return Found(
        (),
        make_files(usable[0], (_ALL,), checked),
        make_files(usable[1], (_ALL,), checked),
        tuple((legible(image.path), image.problem) for image in bad),
        (
            *remarks(checked.values()),
            *same_images.notices(usable[0], usable[1], digests),
        ),
        drawn=len(parts) == 1,
    )


def _images_below(root: Path) -> tuple[str, ...]:
    try:
        return tuple(class_folders.images_below(root))
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from error


def _roots(root: Path) -> list[Path]:
    """Returns the folders of both parts, or the folder itself where it has none."""
    folders = {each.name.lower(): each for each in class_folders.folders_in(root)}
    train, validation = (
        [folders[name] for name in names if name in folders]
        for names in (class_folders.TRAIN_NAMES, class_folders.EVALUATION_NAMES)
    )
    return [train[0], validation[0]] if train and validation else [root]
