"""Lists the image files that lie in class folders, and what is wrong with them."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_convnext._data import archives
from keras_convnext._data.scanning import in_order, scan
from keras_convnext._files import AnyPath, first_few, is_hidden, is_image

TRAIN_NAMES = ("train", "training")
# In the order of preference, where there are several.
VALIDATION_NAMES = ("val", "validation", "valid")
TEST_NAMES = ("test", "testing")
EVALUATION_NAMES = (*VALIDATION_NAMES, *TEST_NAMES)
# What names the class of an image: the first folder below the root, the one that it
# lies in, or all of them.
NAMINGS = ("top", "leaf", "path")


@dataclass(frozen=True)
class ClassFolders:
    """The images under one folder.

    Attributes:
        root: The folder that holds the class folders.
        by_class: Sorted paths of the images of each class, named by one of `NAMINGS`,
            in Unicode's composed form.
        other_endings: How many files have endings of no image, by ending.
        nested: Folders with images inside class folders, by class.
        beside: Names of image files that lie beside the class folders.
        spelled_alike: Class folders whose names look alike on a screen.
        merged: Folders of the same name, in several places, that are one class.
    """

    root: Path
    by_class: Mapping[str, tuple[str, ...]]
    other_endings: Mapping[str, int]
    nested: Mapping[str, tuple[Path, ...]]
    beside: tuple[str, ...] = ()
    spelled_alike: tuple[str, ...] = ()
    merged: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """The path of every image."""
        return tuple(file for files in self.by_class.values() for file in files)

    def notices(self) -> list[str]:
        """Returns a line for each kind of thing that was passed over."""
        found = []
        if self.other_endings:
            kinds = (
                f"{count} {ending or 'without ending'}"
                for ending, count in self.other_endings.items()
            )
            found.append(f"{self.root}: not images, ignored: {first_few(kinds)}.")
        if self.beside:
            found.append(
                f"{self.root}: images in no class folder, ignored: "
                f"{first_few(self.beside)}."
            )
        if self.nested:
            found.append(f"{self.root}: {self._nested_notice()}")
        if self.spelled_alike:
            found.append(
                f"{self.root}: folders whose names differ in their Unicode form alone "
                f"are one class: {first_few(self.spelled_alike)}."
            )
        if self.merged:
            found.append(
                f"{self.root}: folders of the same name are one class: "
                f"{first_few(self.merged)}."
            )
        return found

    def _nested_notice(self) -> str:
        inner = [folder for folders in self.nested.values() for folder in folders]
        text = (
            "images in folders inside class folders count as their class's: "
            f"{first_few(folder.relative_to(self.root) for folder in inner)}. To take "
            "the innermost folders as classes give folder_leaf:, their whole paths "
            "folder_path:."
        )
        by_class = [
            {f.name for f in self.nested.get(name, ())} for name in self.by_class
        ]
        if len(by_class) > 1 and all(names == by_class[0] for names in by_class):
            text += (
                f" If {first_few(sorted(by_class[0]))} are the classes, the folders "
                "above them must be called train and val."
            )
        return text


def remark(files: Iterable[Any], one: str, many: str) -> str:
    """Returns a line on files: how many, what there is to say, and which.

    Args:
        files: At least one.
        one: What to say of one, "is black".
        many: What to say of several, "are black".
    """
    names = list(files)
    counted = f"One image {one}" if len(names) == 1 else f"{len(names):,} images {many}"
    return f"{counted}: {first_few(names)}."


def find_roots(root: Path) -> tuple[Path, Path | None]:
    """Returns the folders of training and evaluation class folders.

    The second is None where the folder is not split: it has no train/, or nothing
    beside it.
    """
    train = part_roots(root, TRAIN_NAMES)
    validation = part_roots(root, EVALUATION_NAMES)
    if not train:
        return root, None
    return train[0], validation[0] if validation else None


def part_roots(root: Path, names: Sequence[str]) -> list[Path]:
    """Returns the folders below one that hold class folders and have such a name.

    Args:
        root: The folder.
        names: In small letters, the preferred first.
    """
    # A folder "train" full of images is a class: of trains, or of exercises.
    folders = {
        folder.name.lower(): folder
        for folder in folders_in(root)
        if folder.name.lower() in names and folders_in(folder)
    }
    return [folders[name] for name in names if name in folders]


def left_over(root: Path) -> list[str]:
    """Returns a line on class folders that lie beside train/, where there are any."""
    train_root, _ = find_roots(root)
    if train_root == root:
        return []
    known = {*TRAIN_NAMES, *EVALUATION_NAMES}
    stray = [folder for folder in folders_in(root) if folder.name.lower() not in known]
    if not stray:
        return []
    names = first_few(folder.name for folder in stray)
    return [f"{root}: beside {train_root.name}, ignored: {names}."]


def list_class_folders(root: Path, naming: str = "top") -> ClassFolders:
    """Lists the class folders under a folder; hidden files count as absent.

    Args:
        root: The folder.
        naming: What a class is named by, of `NAMINGS`.
    """
    by_class: dict[str, list[str]] = {}
    folders_of: dict[str, set[Path]] = {}
    endings: Counter[str] = Counter()
    nested: dict[str, tuple[Path, ...]] = {}
    for folder in folders_in(root):
        images: dict[Path, list[str]] = {}
        for place in scan(folder):
            if place.images:
                images[Path(place.folder)] = place.images
            endings.update(Path(path).suffix.lower() for path in place.others)
        named = [folder] if naming == "top" or not images else sorted(images)
        for each in named:
            name = _class_of(each, root, naming)
            if naming == "top":
                files = _in_order(images.values())
            else:
                files = images.get(each, [])
            by_class.setdefault(name, []).extend(files)
            folders_of.setdefault(name, set()).add(each)
        inner = sorted(images.keys() - {folder}) if naming == "top" else []
        if inner:
            name = _class_of(folder, root, naming)
            nested[name] = (*nested.get(name, ()), *inner)
    several = {name: each for name, each in folders_of.items() if len(each) > 1}
    merged = [
        f"{name} ({first_few(sorted(folder.relative_to(root) for folder in each))})"
        for name, each in several.items()
        if naming == "leaf"
    ]
    return ClassFolders(
        root,
        {name: tuple(files) for name, files in by_class.items()},
        dict(endings.most_common()),
        nested,
        _images_in(root),
        () if naming == "leaf" else tuple(several),
        tuple(merged),
    )


def class_of(file: Path, root: Path, naming: str = "top") -> str:
    """Returns the class of an image that lies in a class folder.

    Args:
        file: The image.
        root: The folder that holds the class folders.
        naming: What a class is named by, of `NAMINGS`.
    """
    first = root / file.relative_to(root).parts[0]
    return _class_of(first if naming == "top" else file.parent, root, naming)


def _class_of(folder: Path, root: Path, naming: str) -> str:
    name = folder.relative_to(root).as_posix() if naming == "path" else folder.name
    return unicodedata.normalize("NFC", name)


def _images_in(root: Path) -> tuple[str, ...]:
    """Returns the names of the images that lie in a folder itself."""
    inside = archives.names_in(root)
    if inside is None:
        with os.scandir(root) as entries:
            names = [entry.name for entry in entries if entry.is_file()]
    else:
        names = inside[1]
    return tuple(
        name for name in sorted(names) if is_image(name) and not is_hidden(name)
    )


def images_below(folder: Path) -> list[str]:
    """Returns the paths of the images in a folder and in those inside it, sorted."""
    here = os.path.join(os.curdir, "")
    found = _in_order([place.images for place in scan(folder)])
    return [path.removeprefix(here) for path in found]


def files_below(folder: Path) -> list[Path]:
    """Returns the files in a folder and in the folders inside it, sorted."""
    found = [[*place.images, *place.others] for place in scan(folder)]
    return sorted(Path(path) for paths in found for path in paths)


def _in_order(groups: Collection[list[str]]) -> list[str]:
    """Returns the paths of several folders sorted, each of which is sorted."""
    if len(groups) == 1:
        return next(iter(groups))
    return sorted((path for paths in groups for path in paths), key=in_order)


def problems(train: ClassFolders, validation: ClassFolders | None) -> list[str]:
    """Returns the problems with the folders, without opening any file."""
    classes = sorted(train.by_class)
    if not classes:
        return [
            f"{train.root} has no class folders. Put the images of each class into "
            "a folder of their own, named after the class."
        ]
    found = [*_unwritable(train), *_splits_inside(train)]
    if validation is not None:
        found += _unwritable(validation)
    if len(classes) == 1:
        found.append(
            f"{train.root} has one class folder only, {classes[0]!r}; telling "
            f"images apart needs two or more.{_proposal(train, classes[0])}"
        )
    parts = [train] if validation is None else [train, validation]
    found += empty_classes({part.root: part.by_class for part in parts})
    if validation is not None:
        if not validation.by_class:
            found.append(f"{validation.root} has no class folders.")
        unknown = sorted(set(validation.by_class) - set(classes))
        if unknown:
            found.append(
                f"{validation.root} has classes that {train.root} has not: "
                f"{first_few(unknown)}.{near_names(unknown, classes)}"
            )
    return found


def _unwritable(part: ClassFolders) -> list[str]:
    """Returns a line on class names that cannot be written into labels.txt."""
    bad = [name for name in part.by_class if not is_label(name)]
    if not bad:
        return []
    shown = first_few(repr(os.fsencode(name))[1:] for name in bad)
    return [
        f"{part.root}: the names of class folders must be UTF-8, on one line: {shown}. "
        "Rename them (convmv -f latin1 -t utf8 renames many)."
    ]


def is_label(name: str) -> bool:
    """Returns True for a name that labels.txt can hold: UTF-8, on one line."""
    return name.encode("utf-8", "replace").decode().splitlines() == [name]


def _splits_inside(part: ClassFolders) -> list[str]:
    """Returns a line where train/ and val/ are inside of classes, or train/ is not."""
    known = {*TRAIN_NAMES, *EVALUATION_NAMES}
    if {name.lower() for name in part.by_class} <= known and len(part.nested) > 1:
        return [
            f"{part.root} holds {first_few(sorted(part.by_class))} with folders in "
            "them, and no train. Put the class folders to train on into train."
        ]
    for name, folders in part.nested.items():
        inner = {folder.name.lower() for folder in folders}
        if inner & {*TRAIN_NAMES} and inner & {*EVALUATION_NAMES}:
            return [
                f"{part.root}: the folder {name} holds {first_few(sorted(inner))}. Put "
                f"these above the classes: train/{name}, val/{name}."
            ]
    return []


def _proposal(part: ClassFolders, name: str) -> str:
    """Returns a folder to name where one class folder seems to hold the classes."""
    inner = [
        folder.relative_to(part.root).parts for folder in part.nested.get(name, ())
    ]
    below = sorted({parts[1] for parts in inner})
    if len(below) < 2:
        return ""
    return f" If {first_few(below)} are the classes, name {part.root / name}."


def near_names(unknown: Sequence[str], classes: Sequence[str]) -> str:
    """Returns a hint where a name differs from a class's in case or spaces alone."""
    known = {name.strip().casefold(): name for name in classes}
    for name in unknown:
        if near := known.get(name.strip().casefold()):
            return f" {name!r} and {near!r} differ in upper and lower case or spaces."
    return ""


def empty_classes(
    parts: Mapping[Path, Mapping[str, Sequence[AnyPath]]], why: str = ""
) -> list[str]:
    """Returns a line for each part with class folders that hold no image."""
    found = []
    for root, by_class in parts.items():
        empty = [name for name, files in by_class.items() if not files]
        if empty:
            found.append(f"{root}: no images{why} in {first_few(empty)}.")
    return found


def folders_in(root: Path) -> list[Path]:
    """Returns the folders in a folder, sorted; hidden ones count as absent."""
    inside = archives.names_in(root)
    if inside is None:
        with os.scandir(root) as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
    else:
        names = inside[0]
    return [root / name for name in sorted(names) if not is_hidden(name)]
