"""Images with boxes, whatever form they came in, and COCO's JSON of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_convnext._data.class_folders import (
    TEST_NAMES,
    TRAIN_NAMES,
    VALIDATION_NAMES,
    files_below,
)
from keras_convnext._data.data_error import DataError
from keras_convnext._data.image_size import read_upright_size
from keras_convnext._files import first_few, is_image, legible, why_no_folder

# The words of COCO's file names, by how folders and lists are called.
PARTS = {
    **dict.fromkeys(TRAIN_NAMES, "train"),
    **dict.fromkeys(VALIDATION_NAMES, "val"),
    **dict.fromkeys(TEST_NAMES, "test"),
}


class BadFile(ValueError):
    """A file cannot be used; the text says why."""


@dataclass(frozen=True)
class AnnotatedBox:
    """A box of an object.

    Attributes:
        label: Its class, by name.
        box: Left, top, width and height in pixels.
        polygon: Its outline, x and y in turn; None for a box alone.
        is_crowd: Whether nothing is to be learned from it, nor counted.
    """

    label: str
    box: tuple[float, float, float, float]
    polygon: tuple[float, ...] | None = None
    is_crowd: bool = False


@dataclass(frozen=True)
class AnnotatedImage:
    """An image file and its boxes.

    Attributes:
        path: The file.
        height: In pixels.
        width: In pixels.
        boxes: In the order of its annotations.
    """

    path: Path
    height: int
    width: int
    boxes: tuple[AnnotatedBox, ...]


@dataclass
class Converted:
    """What was found in a folder.

    Attributes:
        root: The folder.
        classes: Names of the classes.
        parts: Images by "train", "val" and "test"; "" where there are no such parts.
        bad: Files that cannot be used, and why.
    """

    root: Path
    classes: tuple[str, ...]
    parts: dict[str, list[AnnotatedImage]] = field(default_factory=dict)
    bad: dict[Path, str] = field(default_factory=dict)

    def add(self, part: str, file: Path, read: Callable[[], AnnotatedImage]) -> None:
        """Adds an image, or what is wrong with the file that it is read from.

        Args:
            part: Which one it belongs to.
            file: The file.
            read: Returns the image.
        """
        try:
            image = read()
        except BadFile as error:
            self.bad[file] = str(error)
        else:
            self.parts.setdefault(part, []).append(image)


def existing_folder(path: str) -> Path:
    """Returns the folder of that path.

    Raises:
        DataError: There is none.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise DataError(f"{root} {why_no_folder(root)}.")
    return root


def images_by_stem(folder: Path) -> dict[str, list[Path]]:
    """Returns the image files below a folder, by their paths in it without endings."""
    found: dict[str, list[Path]] = {}
    for file in filter(is_image, files_below(folder)):
        stem = file.relative_to(folder).with_suffix("").as_posix()
        found.setdefault(stem, []).append(file)
    return found


def only_image(files: Sequence[Path]) -> Path:
    """Returns the image file that an annotation is of.

    Args:
        files: Those of its name.

    Raises:
        BadFile: It is not one.
    """
    if not files:
        raise BadFile("there is no image of that name")
    if len(files) > 1:
        names = first_few(file.name for file in files)
        raise BadFile(f"there are {len(files)} images of that name: {names}")
    return files[0]


def size_of(path: Path) -> tuple[int, int]:
    """Returns height and width of an image file.

    Raises:
        BadFile: It is no image that Pillow reads.
    """
    try:
        return read_upright_size(path)[0]
    # Pillow lets through whatever its readers raise.
    except Exception as error:
        raise BadFile(f"its image {path.name} cannot be read") from error


def to_coco(
    images: Iterable[AnnotatedImage], classes: Sequence[str], root: Path
) -> dict[str, list[dict[str, Any]]]:
    """Returns COCO's instances.

    Args:
        images: Those of a file.
        classes: Names, which get the ids 1, 2, ...
        root: Names of files begin below it.
    """
    ids = {name: number for number, name in enumerate(classes, 1)}
    listed: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, image in enumerate(images, 1):
        name = legible(image.path.relative_to(root).as_posix())
        sides = {"height": image.height, "width": image.width}
        listed.append({"id": number, "file_name": name, **sides})
        for one in image.boxes:
            entry: dict[str, Any] = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": ids[one.label],
                "bbox": [round(value, 2) for value in one.box],
                "area": round(one.box[2] * one.box[3], 2),
                "iscrowd": int(one.is_crowd),
            }
            if one.polygon is not None:
                entry["segmentation"] = [[round(value, 2) for value in one.polygon]]
                entry["area"] = round(_area(one.polygon), 2)
            annotations.append(entry)
    categories = [{"id": number, "name": name} for name, number in ids.items()]
    return {"images": listed, "annotations": annotations, "categories": categories}


def _area(polygon: Sequence[float]) -> float:
    """Returns the area inside of a polygon, by the shoelace formula."""
    xs, ys = polygon[::2], polygon[1::2]
    turned = zip(xs, ys, [*xs[1:], xs[0]], [*ys[1:], ys[0]], strict=True)
    return abs(sum(x * next_y - next_x * y for x, y, next_x, next_y in turned)) / 2
