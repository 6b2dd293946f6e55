"""Lists the picture files that lie in class folders, and what is wrong with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_convnext import image_files

TRAIN_NAMES = ("train", "training")
# In the order of preference, where there are several.
VALIDATION_NAMES = ("val", "validation", "valid")
TEST_NAMES = ("test", "testing")
EVALUATION_NAMES = (*VALIDATION_NAMES, *TEST_NAMES)
# How many of a long list of names a message shows.
SHOWN = 5


@dataclass(frozen=True)
class ClassFolders:
    """The pictures under one folder.

    Attributes:
        root: The folder that holds the class folders.
        by_class: Sorted picture files of each class folder.
        other_endings: How many files have endings of no picture, by ending.
        nested: Folders inside class folders.
        beside: Picture files that lie beside the class folders.
    """

    root: Path
    by_class: Mapping[str, tuple[Path, ...]]
    other_endings: Mapping[str, int]
    nested: tuple[Path, ...]
    beside: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """Every picture file."""
        return tuple(file for files in self.by_class.values() for file in files)

    def notices(self) -> list[str]:
        """Returns a line for each kind of thing that was passed over."""
        found = []
        if self.other_endings:
            kinds = (
                f"{count} {ending or 'without ending'}"
                for ending, count in self.other_endings.items()
            )
            found.append(f"{self.root}: not pictures, ignored: {first_few(kinds)}.")
        if self.beside:
            found.append(
                f"{self.root}: pictures in no class folder, ignored: "
                f"{first_few(path.name for path in self.beside)}."
            )
        if self.nested:
            found.append(
                f"{self.root}: folders inside class folders, ignored: "
                f"{first_few(self.nested)}."
            )
        return found


def first_few(things: Iterable[Any], separator: str = ", ") -> str:
    """Returns the first few names, and how many more there are."""
    names = [str(thing) for thing in things]
    shown = names[:SHOWN]
    if len(names) > SHOWN:
        shown.append(f"and {len(names) - SHOWN} more")
    return separator.join(shown)


def find_roots(root: Path) -> tuple[Path, Path | None]:
    """Returns the folders of training and evaluation class folders.

    The second is None where the folder is not split: it has no train/, or nothing
    beside it.
    """
    train = part_roots(root, TRAIN_NAMES)
    evaluation = part_roots(root, EVALUATION_NAMES)
    if not train:
        return root, None
    return train[0], evaluation[0] if evaluation else None


def part_roots(root: Path, names: Sequence[str]) -> list[Path]:
    """Returns the folders below one that hold class folders and have such a name.

    Args:
        root: The folder.
        names: In small letters, the preferred first.
    """
    # A folder "train" full of pictures is a class: of trains, or of exercises.
    folders = {
        folder.name.lower(): folder
        for folder in _folders(root)
        if any(True for _ in _folders(folder))
    }
    return [folders[name] for name in names if name in folders]


def left_over(root: Path) -> list[str]:
    """Returns a line on class folders that lie beside train/, where there are any."""
    train_root, _ = find_roots(root)
    if train_root == root:
        return []
    known = {*TRAIN_NAMES, *EVALUATION_NAMES}
    stray = [folder for folder in _folders(root) if folder.name.lower() not in known]
    if not stray:
        return []
    names = first_few(folder.name for folder in stray)
    return [f"{root}: beside {train_root.name}, ignored: {names}."]


def listed(root: Path) -> ClassFolders:
    """Lists the class folders under a folder; hidden files count as absent."""
    by_class: dict[str, tuple[Path, ...]] = {}
    endings: Counter[str] = Counter()
    nested: list[Path] = []
    for folder in _folders(root):
        files = []
        for entry in sorted(folder.iterdir()):
            if _hidden(entry):
                continue
            if entry.is_dir():
                nested.append(entry)
            elif entry.suffix.lower() in image_files.SUFFIXES:
                files.append(entry)
            else:
                endings[entry.suffix.lower()] += 1
        by_class[folder.name] = tuple(files)
    beside = tuple(
        entry
        for entry in sorted(root.iterdir())
        if entry.suffix.lower() in image_files.SUFFIXES
        and not _hidden(entry)
        and entry.is_file()
    )
    kinds = dict(endings.most_common())
    return ClassFolders(root, by_class, kinds, tuple(nested), beside)


def problems(train: ClassFolders, evaluation: ClassFolders | None) -> list[str]:
    """Returns what is wrong with the folders, before any file is looked into."""
    classes = sorted(train.by_class)
    if not classes:
        return [
            f"{train.root} has no class folders. Put the pictures of each class into "
            "a folder of their own, named after the class."
        ]
    if not train.files and train.nested:
        return [
            f"{train.root}: no pictures in {first_few(classes)}, only folders. Name "
            f"the folder right above the class folders: {train.nested[0].parent}?"
        ]
    found = []
    if len(classes) == 1:
        found.append(
            f"{train.root} has one class folder only, {classes[0]!r}; telling "
            "pictures apart needs two or more."
        )
    parts = [train] if evaluation is None else [train, evaluation]
    found += empty_classes({part.root: part.by_class for part in parts})
    if evaluation is not None:
        if not evaluation.by_class:
            found.append(f"{evaluation.root} has no class folders.")
        unknown = sorted(set(evaluation.by_class) - set(classes))
        if unknown:
            found.append(
                f"{evaluation.root} has classes that {train.root} has not: "
                f"{first_few(unknown)}."
            )
    return found


def empty_classes(
    parts: Mapping[Path, Mapping[str, tuple[Path, ...]]], why: str = ""
) -> list[str]:
    """Returns a line for each part with class folders that hold no picture."""
    found = []
    for root, by_class in parts.items():
        empty = [name for name, files in by_class.items() if not files]
        if empty:
            found.append(f"{root}: no pictures{why} in {first_few(empty)}.")
    return found


def _folders(root: Path) -> list[Path]:
    return sorted(
        entry for entry in root.iterdir() if entry.is_dir() and not _hidden(entry)
    )


def _hidden(entry: Path) -> bool:
    # Thumbs.db, desktop.ini and __MACOSX are made by systems, not by people.
    made_by_systems = {"thumbs.db", "desktop.ini", "__macosx"}
    return entry.name.startswith(".") or entry.name.lower() in made_by_systems
