"""Lists images with a mask each: images/ and annotations/ with equal names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_convnext._data.class_folders import (
    TEST_NAMES,
    TRAIN_NAMES,
    VALIDATION_NAMES,
    files_below,
)
from keras_convnext._data.data_error import DataError
from keras_convnext._files import first_few, is_image, why_no_folder

IMAGES, ANNOTATIONS = "images", "annotations"
MASK_SUFFIX = ".png"


@dataclass(frozen=True)
class MaskedImage:
    """An image file and the file of its mask."""

    image: Path
    mask: Path


@dataclass(frozen=True)
class MaskPart:
    """The images of one part of a data set.

    Attributes:
        images: Folder of the images.
        annotations: Folder of the masks, which lie as the images do.
        pairs: Images that have a mask, by their names.
        unmasked: Images that have none.
        ambiguous: Images that differ in their endings alone: whose is the mask?
        notices: Remarks worth a line each.
    """

    images: Path
    annotations: Path
    pairs: tuple[MaskedImage, ...]
    unmasked: tuple[Path, ...] = ()
    ambiguous: tuple[Path, ...] = ()
    notices: tuple[str, ...] = ()

    def problems(self) -> list[str]:
        """Returns a line for each kind of thing that is wrong."""
        found = []
        if not self.pairs and not self.unmasked:
            found.append(f"{self.images} has no images.")
        if self.unmasked:
            what = "1 image has" if len(self.unmasked) == 1 else None
            found.append(
                f"{what or f'{len(self.unmasked):,} images have'} no mask of that name "
                f"({MASK_SUFFIX}) in {self.annotations}: "
                f"{first_few(path.name for path in self.unmasked)}."
            )
        if self.ambiguous:
            found.append(
                f"{self.images}: images that differ in their endings alone share one "
                f"mask: {first_few(path.name for path in self.ambiguous)}."
            )
        return found


def find_parts(root: Path) -> dict[str, str]:
    """Returns the names of the folders that split a data set, by their part.

    Args:
        root: The data set; one without folders below images/ has no parts.

    Returns:
        Keys are "train", "validation" and "test", as far as there are such.

    Raises:
        DataError: It is no folder with images/ and annotations/ in it.
    """
    _require_folders(root)
    below = {
        folder.name.lower(): folder.name
        for folder in sorted((root / IMAGES).iterdir())
        if folder.is_dir()
    }
    kinds = {
        "train": TRAIN_NAMES,
        "validation": VALIDATION_NAMES,
        "test": TEST_NAMES,
    }
    found = {}
    for kind, names in kinds.items():
        present = [below[name] for name in names if name in below]
        if present:
            found[kind] = present[0]
    return found


def _require_folders(root: Path) -> None:
    if not root.is_dir():
        raise DataError(f"The data folder {root} {why_no_folder(root)}.")
    for name in (IMAGES, ANNOTATIONS):
        if not (root / name).is_dir():
            inside = first_few(sorted(e.name for e in root.iterdir()))
            raise DataError(
                f"{root} has no folder {name}/; it has {inside or 'nothing'}. Put the "
                f"images into {IMAGES}/, and their masks, PNG files of the same names, "
                f"into {ANNOTATIONS}/."
            )


def list_part(root: Path, name: str = "") -> MaskPart:
    """Lists a part of a data set, without opening any file.

    Args:
        root: The data set.
        name: The part's folder below images/ and annotations/; "" for all of them.
    """
    images, annotations = root / IMAGES / name, root / ANNOTATIONS / name
    masks: dict[str, Path] = {}
    others = []
    for file in files_below(annotations) if annotations.is_dir() else []:
        if file.suffix.lower() == MASK_SUFFIX:
            masks[_stem(file, annotations)] = file
        elif is_image(file):
            others.append(file)
    by_stem: dict[str, list[Path]] = {}
    for file in files_below(images):
        if is_image(file):
            by_stem.setdefault(_stem(file, images), []).append(file)
    return MaskPart(
        images,
        annotations,
        tuple(
            MaskedImage(files[0], masks[stem])
            for stem, files in sorted(by_stem.items())
            if stem in masks
        ),
        tuple(f for stem, files in by_stem.items() if stem not in masks for f in files),
        tuple(f for files in by_stem.values() if len(files) > 1 for f in files),
        tuple(_notices(annotations, sorted(masks.keys() - by_stem.keys()), others)),
    )


def _stem(file: Path, folder: Path) -> str:
    return file.relative_to(folder).with_suffix("").as_posix()


def _notices(
    annotations: Path, alone: Sequence[str], others: Sequence[Path]
) -> list[str]:
    found = []
    if alone:
        found.append(
            f"{annotations}: masks without an image, ignored: {first_few(alone)}."
        )
    if others:
        found.append(
            f"{annotations}: not PNG, ignored as masks: "
            f"{first_few(path.name for path in others)}."
        )
    return found
