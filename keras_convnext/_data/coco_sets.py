"""Finds the files that `coco:` names, and splits images that one file has."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from keras_convnext._data import coco_file, forms
from keras_convnext._data.coco_file import CocoFile, CocoImage
from keras_convnext._data.data_error import DataError, SplitError
from keras_convnext._data.draw_split import draw_split
from keras_convnext._data.image_size import read_upright_size
from keras_convnext._files import first_few, legible, why_no_folder

# From files to those that cannot be used, and why.
FindUnreadable = Callable[[Sequence[Path]], Mapping[Path, str]]

# How the parts of a data set are called in the names of files.
_PARTS = {"train": "train", "validation": "val", "test": "test"}
_FORMS = f"Give {forms.BOX_FORMS}"


class CocoExample(NamedTuple):
    """An image of a data set: where it lies, and what is in it."""

    path: Path
    image: CocoImage


@dataclass(frozen=True)
class CocoSet:
    """What was found.

    Attributes:
        classes: Names in the order of the labels.
        train: Training images.
        validation: Validation images.
        has_masks: Whether all objects have masks.
        skipped: Path and reason of each image left out.
        notices: Remarks worth a line each.
        drawn: Whether the validation images were drawn by share and seed.
        category_numbers: The files' ids of the classes.
    """

    classes: tuple[str, ...]
    train: tuple[CocoExample, ...]
    validation: tuple[CocoExample, ...]
    has_masks: bool
    skipped: tuple[tuple[str, str], ...]
    notices: tuple[str, ...]
    drawn: bool
    category_numbers: tuple[int, ...]


class _Place(NamedTuple):
    """A file of annotations, and the folder that its images lie in."""

    file: Path
    images: Path


def load(
    rest: str,
    *,
    validation_share: float,
    seed: int,
    skip_bad_images: bool,
    whole: str | None = None,
    find_unreadable: FindUnreadable = lambda _: {},
) -> CocoSet:
    """Reads, checks and splits the images that a `coco:` names.

    Args:
        rest: What stands behind "coco:".
        validation_share: Part of the images that validation gets where one file has
            all of them.
        seed: Of that split.
        skip_bad_images: Leave images that cannot be used out instead of refusing.
        whole: "test" or "all": that part alone, for training and validation alike. None
            looks for both.
        find_unreadable: Looks into image files that are there and have the stated size.

    Raises:
        DataError: With all that is wrong.
    """
    places = _chosen_places(rest, whole)
    files = [coco_file.read(place.file) for place in places]
    categories = _common_categories(places, files)
    found = [
        [CocoExample(place.images / i.file_name, i) for i in file.images]
        for place, file in zip(places, files, strict=True)
    ]
    bad = _unusable([example for part in found for example in part], find_unreadable)
    problems = [line for file in files for line in file.problems]
    if bad:
        lines = first_few((f"{p}: {why}" for p, why in bad.items()), separator="\n  ")
        total = sum(map(len, found))
        problems.append(f"{len(bad):,} of {total:,} images cannot be used:\n  {lines}")
    if problems and not skip_bad_images:
        hint = " (--skip_bad_images leaves such images out)"
        raise DataError("\n".join(problems) + hint)
    parts = [tuple(one for one in part if one.path not in bad) for part in found]
    empty = [place for place, part in zip(places, parts, strict=True) if not part]
    if empty:
        nothing = [f"{place.file} has no images that can be used." for place in empty]
        raise DataError("\n".join([*problems, *nothing]))
    drawn = len(parts) == 1 and whole is None
    if drawn:
        if len(parts[0]) < 2:
            raise SplitError(
                f"{places[0].file} has one image, which cannot be split into training "
                "and validation. Add images, or give two files: "
                "coco:TRAIN.json,VAL.json:IMAGES"
            )
        parts = list(draw_split(parts[0], validation_share, seed))
    elif whole is not None:
        parts = [tuple(example for part in parts for example in part)]
    masks = [file.has_masks for file in files if file.has_masks is not None]
    classes = tuple(categories.values())
    return CocoSet(
        classes,
        parts[0],
        parts[-1],
        bool(masks) and all(masks),
        (
            *(
                (legible(place.images / name), reason)
                for place, file in zip(places, files, strict=True)
                for name, reason in file.bad.items()
            ),
            *((legible(path), reason) for path, reason in bad.items()),
        ),
        (
            *(line for file in files for line in file.notices),
            *_describe(classes, parts[0], masks),
        ),
        drawn,
        tuple(categories),
    )


def _chosen_places(rest: str, whole: str | None) -> list[_Place]:
    found = _find_places(rest)
    if whole == "all":
        return list(found.values())
    if whole == "test":
        if "test" not in found:
            raise DataError(f"coco:{rest} has no annotations of a test set.")
        return [found["test"]]
    if "train" not in found:
        raise SplitError(
            f"coco:{rest} has {first_few(p.file.name for p in found.values())} and "
            "no instances_train*.json to train on."
        )
    validation = [found[part] for part in ("validation", "test") if part in found]
    return [found["train"], *validation[:1]]


def _find_places(rest: str) -> dict[str, _Place]:
    """Returns files and folders by their part; a file without parts is for training."""
    named = re.fullmatch(r"(.+\.json):(.+)", rest, re.IGNORECASE)
    if named is None:
        return _places_below(rest)
    files = [Path(name).expanduser() for name in named[1].split(",")]
    images = Path(named[2]).expanduser()
    if len(files) > 2:
        raise DataError(f"coco:{rest} names {len(files)} files. {_FORMS}.")
    if not images.is_dir():
        raise DataError(f"The folder of images {images} {why_no_folder(images)}.")
    return dict(zip(_PARTS, (_Place(file, images) for file in files), strict=False))


def _places_below(rest: str) -> dict[str, _Place]:
    root = Path(rest).expanduser()
    if not root.is_dir():
        raise DataError(f"{root} {why_no_folder(root)}. {_FORMS}.")
    found = {}
    for part, word in _PARTS.items():
        if file := _only(root, f"instances_{word}*.json"):
            found[part] = _Place(file, _folder_of_images(root, file))
    if not found and (file := _only(root, forms.INSTANCES)):
        found["train"] = _Place(file, _folder_of_images(root, file))
    if not found:
        inside = first_few(sorted(entry.name for entry in root.iterdir()))
        raise DataError(
            f"{root} has no instances*.json and no annotations/instances*.json; it has "
            f"{inside or 'nothing'}. {_FORMS}."
        )
    return found


def _only(root: Path, pattern: str) -> Path | None:
    """Returns the file of that name below a folder; None where there is none."""
    files = forms.instances_below(root, pattern)
    if len(files) > 1:
        names = first_few(file.name for file in files)
        raise DataError(f"{files[0].parent} has several: {names}. {_FORMS}.")
    return files[0] if files else None


def _folder_of_images(root: Path, file: Path) -> Path:
    part = file.stem.removeprefix("instances").strip("_")
    names = [part, f"images/{part}"] if part else []
    candidates = [root / name for name in (*names, "images")]
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise DataError(
        f"The images of {file} are in none of {first_few(candidates)}. {_FORMS}."
    )


def _common_categories(
    places: Sequence[_Place], files: Sequence[CocoFile]
) -> Mapping[int, str]:
    """Returns the classes, which must be the same in all files."""
    first = files[0].categories
    for place, file in zip(places[1:], files[1:], strict=True):
        if file.categories != first:
            unlike = set(file.categories.items()) ^ set(first.items())
            raise DataError(
                f"{places[0].file} and {place.file} have different categories: "
                f"{first_few(f'{n} {name}' for n, name in sorted(unlike))}."
            )
    return first


def _unusable(
    examples: Sequence[CocoExample], find_unreadable: FindUnreadable
) -> dict[Path, str]:
    """Returns the images that cannot be used, and why."""
    with ThreadPoolExecutor() as pool:
        reasons = list(pool.map(_unlike, examples))
    bad = {e.path: why for e, why in zip(examples, reasons, strict=True) if why}
    fitting = [example.path for example in examples if example.path not in bad]
    return {**bad, **find_unreadable(fitting)}


def _unlike(example: CocoExample) -> str:
    """Returns why an image is not the one that is meant; empty where it is."""
    path, image = example
    if not path.is_file():
        return "there is no such file"
    try:
        (height, width), is_turned = read_upright_size(path)
    # What Pillow does not open, training's decoder may, or says why not.
    except Exception:
        return ""
    if (height, width) == (image.height, image.width):
        return ""
    text = (
        f"has {width}x{height} pixels, and {image.width}x{image.height} in the "
        "annotations"
    )
    if is_turned and (width, height) == (image.height, image.width):
        return f"{text}, which do not turn it as its EXIF note does"
    return text


def _describe(
    classes: Sequence[str], train: Sequence[CocoExample], masks: Sequence[bool]
) -> list[str]:
    """Returns lines on what is missing, but not wrong."""
    found = []
    labels = {o.label for _, image in train for o in image.objects if not o.is_crowd}
    never = [name for label, name in enumerate(classes) if label not in labels]
    if never:
        found.append(f"no training image has an object of {first_few(never)}.")
    empty = sum(not image.objects for _, image in train)
    if empty:
        found.append(f"training images without an object: {empty:,} of {len(train):,}.")
    if True in masks and False in masks:
        found.append("one file has no masks, so that there are boxes alone.")
    elif False in masks:
        found.append("the objects have boxes alone, no masks.")
    return found
