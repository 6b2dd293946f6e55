"""Reads a file of COCO's instances and checks all of it, without opening an image."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeGuard
from unicodedata import normalize

from keras_convnext._data import coco_masks
from keras_convnext._data.class_folders import is_label
from keras_convnext._data.data_error import DataError
from keras_convnext._files import first_few

_LISTS = ("images", "annotations", "categories")
_ADVICE = (
    'Wanted is COCO\'s instances format: a JSON object with "images", "annotations" '
    'and "categories"'
)
# Sides that image files can have at most; boxes may lie a little outside.
_MOST_PX = 65_535
_LARGEST_NUMBER = 1e10
# Boxes are often rounded, so that they end up to a pixel outside.
_ROUNDING_PX = 1.0
_PLURALS = {"image": "images", "annotation": "annotations", "category": "categories"}


@dataclass(frozen=True, slots=True)
class CocoObject:
    """An object in an image.

    Attributes:
        label: Number of its class, from 0.
        box: Left, top, width and height in pixels, as the file has them.
        area: In pixels, as the file has it; the box's where it has none.
        is_crowd: Whether it is a region of many objects.
        segmentation: Its mask; None where there is none.
    """

    label: int
    box: tuple[float, float, float, float]
    area: float
    is_crowd: bool
    segmentation: coco_masks.Segmentation | None


@dataclass(frozen=True, slots=True)
class CocoImage:
    """An image and the objects in it.

    Attributes:
        file_name: Of the image, below the folder of images.
        height: In pixels.
        width: In pixels.
        objects: In the file's order.
        number: The file's id of the image.
    """

    file_name: str
    height: int
    width: int
    objects: tuple[CocoObject, ...] = ()
    number: int = 0


@dataclass(frozen=True)
class CocoFile:
    """What a file holds.

    Attributes:
        categories: Names by their numbers in the file, rising; labels count them.
        images: All that can be used.
        bad: Those that cannot: why, by the names of their files.
        problems: A line for each kind of thing that is wrong.
        notices: A line for each kind of thing to know.
        has_masks: Whether the objects have masks; None where there are no objects.
    """

    categories: Mapping[int, str]
    images: tuple[CocoImage, ...]
    bad: Mapping[str, str]
    problems: tuple[str, ...]
    notices: tuple[str, ...]
    has_masks: bool | None


class _Unusable(ValueError):
    """An entry of the file cannot be used; the text says why."""


@dataclass
class _Findings:
    """Names of entries by what there is to say of them."""

    file: Path
    entries: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, noun: str, reason: str, name: str) -> None:
        self.entries.setdefault((noun, reason), []).append(name)

    def lines(self) -> tuple[str, ...]:
        return tuple(
            f"{self.file}: {reason}: {len(names):,} "
            f"{noun if len(names) == 1 else _PLURALS[noun]} ({first_few(names)})."
            for (noun, reason), names in self.entries.items()
        )


def read(file: Path) -> CocoFile:
    """Reads and checks a file.

    Raises:
        DataError: It is none of COCO's instances. Single entries that cannot be used
            are problems of the result instead.
    """
    content = _parse(file)
    categories = _categories(content["categories"], file)
    problems = _Findings(file)
    images, bad, without_image = _images(content["images"], problems)
    reading = _Reading(images, bad, without_image, problems, _Findings(file))
    labels = {number: label for label, number in enumerate(categories)}
    for place, entry in enumerate(content["annotations"]):
        reading.add(entry, place, labels)
    has_masks = reading.settle_masks()
    if any("keypoints" in entry for entry in content["categories"]):
        reason = "keypoints are not read, only boxes and masks"
        reading.notices.add("category", reason, "all")
    usable = (
        replace(image, objects=tuple(reading.objects[number]))
        for number, image in images.items()
        if image.file_name not in bad
    )
    return CocoFile(
        categories,
        tuple(usable),
        bad,
        problems.lines(),
        reading.notices.lines(),
        has_masks,
    )


@dataclass
class _Reading:
    """What is known of a file after some of its annotations.

    Attributes:
        images: By their numbers.
        bad: Those that cannot be used, and why, by the names of their files.
        without_image: Numbers of such images; their annotations are no news.
        problems: What is wrong.
        notices: What is to be known.
        objects: In each image, by its number.
        unmasked: Objects without a mask: their image, and what they are called.
        masked: How many have one.
        seen: Numbers of the annotations.
    """

    images: Mapping[int, CocoImage]
    bad: dict[str, str]
    without_image: set[int]
    problems: _Findings
    notices: _Findings
    objects: dict[int, list[CocoObject]] = field(
        default_factory=lambda: defaultdict(list)
    )
    unmasked: list[tuple[CocoImage, str]] = field(default_factory=list)
    masked: int = 0
    seen: set[int] = field(default_factory=set)

    def add(self, entry: Any, place: int, labels: Mapping[int, int]) -> None:
        """Checks an annotation, and adds its object to its image."""
        number = entry.get("image_id") if isinstance(entry, dict) else None
        if _is_whole(number) and number in self.without_image:
            return
        image = self.images.get(number) if _is_whole(number) else None
        name = _name_of(entry, place) + (f" of {image.file_name}" if image else "")
        try:
            self.seen.add(_identity(entry, self.seen))
            if image is None:
                raise _Unusable("image_id is of no image in the file")
            one = _object(entry, image, labels)
        except (_Unusable, coco_masks.BadSegmentation) as error:
            self._refuse(image, str(error), name)
            return
        if one is None:
            self.notices.add("annotation", "boxes without area are left out", name)
            return
        if not _is_inside(one.box, image):
            reason = "boxes reach beyond their image, where training cuts them off"
            self.notices.add("annotation", reason, name)
        self.objects[entry["image_id"]].append(one)
        if one.segmentation is not None:
            self.masked += not one.is_crowd
        elif not one.is_crowd:
            self.unmasked.append((image, name))

    def settle_masks(self) -> bool | None:
        """Returns whether objects have masks: all of them, or it is a problem."""
        if self.masked:
            for image, name in self.unmasked:
                self._refuse(image, "no segmentation, where others have one", name)
        return bool(self.masked) if self.masked or self.unmasked else None

    def _refuse(self, image: CocoImage | None, reason: str, name: str) -> None:
        self.problems.add("annotation", reason, name)
        if image is not None:
            self.bad[image.file_name] = f"annotation {name}: {reason}"


def _parse(file: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not JSON: it is not UTF-8 text.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not JSON: {error}.") from error
    if (what := _other_format(content)) is not None:
        raise DataError(f"{file} {what}. {_ADVICE}.")
    return content  # type: ignore[no-any-return]


def _other_format(content: Any) -> str | None:
    """Returns what a file holds instead of instances; None for instances."""
    if isinstance(content, list):
        first = content[0] if content else None
        if isinstance(first, dict) and "score" in first:
            return "holds predictions, without the images and classes they are of"
        return "holds a list"
    if not isinstance(content, dict):
        return "holds no JSON object"
    annotations = content.get("annotations")
    first = annotations[0] if isinstance(annotations, list) and annotations else {}
    keys = first.keys() if isinstance(first, dict) else ()
    if "segments_info" in keys:
        return "holds COCO's panoptic annotations, which are not read"
    if "caption" in keys:
        return "holds COCO's captions, which have no boxes"
    if missing := [name for name in _LISTS if name not in content]:
        return f"has no {first_few(missing)}, only {first_few(content) or 'nothing'}"
    if wrong := [name for name in _LISTS if not isinstance(content[name], list)]:
        return f"has no list under {first_few(wrong)}"
    return None


def _categories(entries: list[Any], file: Path) -> dict[int, str]:
    """Returns the names of the classes by rising numbers.

    Raises:
        DataError: Numbers or names are missing, or not different.
    """
    if not entries:
        raise DataError(f'{file} names no classes: "categories" is empty.')
    problems = _Findings(file)
    found: dict[int, str] = {}
    for place, entry in enumerate(entries):
        known = entry if isinstance(entry, dict) else {}
        number, name = known.get("id"), known.get("name")
        name = normalize("NFC", name.strip()) if isinstance(name, str) else ""
        called = _name_of(entry, place)
        if not (name and _is_whole(number)):
            problems.add("category", "no whole number under id, or no name", called)
        elif not is_label(name):
            problems.add("category", "a name that is not UTF-8, on one line", called)
        elif number in found:
            problems.add("category", "an id that another one has", str(number))
        else:
            found[number] = name
    for name, count in Counter(found.values()).items():
        if count > 1:
            problems.add("category", "a name twice", name)
    if problems.entries:
        raise DataError("\n".join(problems.lines()))
    return dict(sorted(found.items()))


def _images(
    entries: list[Any], problems: _Findings
) -> tuple[dict[int, CocoImage], dict[str, str], set[int]]:
    """Returns the images by their numbers, and files and numbers of unusable ones."""
    found: dict[int, CocoImage] = {}
    numbers: set[int] = set()
    bad: dict[str, str] = {}
    files: set[str] = set()
    for place, entry in enumerate(entries):
        name = _name_of(entry, place)
        file = entry.get("file_name") if isinstance(entry, dict) else None
        try:
            if not isinstance(file, str) or not file.strip("./\\"):
                raise _Unusable("no file_name")
            name = file
            if "\0" in file or Path(file).is_absolute() or ".." in Path(file).parts:
                raise _Unusable("file_name leads out of the folder of images")
            if not _is_whole(entry.get("id")):
                raise _Unusable("no whole number under id")
            if entry["id"] in found:
                raise _Unusable("an id that another one has")
            if file in files:
                raise _Unusable("a file_name that another one has")
            sides = entry.get("height"), entry.get("width")
            if not all(_is_whole(side) and 0 < side <= _MOST_PX for side in sides):
                raise _Unusable(f"height or width is not from 1 to {_MOST_PX:,}")
        except _Unusable as error:
            problems.add("image", str(error), name)
            bad[name] = str(error)
            if isinstance(entry, dict) and _is_whole(entry.get("id")):
                numbers.add(entry["id"])
            continue
        files.add(file)
        found[entry["id"]] = CocoImage(file, *sides, number=entry["id"])
    for number in found.keys() & numbers:
        # Whose annotations would those of this number be?
        bad[found.pop(number).file_name] = "an id that another one has"
    return found, bad, numbers


def _identity(entry: Any, seen: set[int]) -> int:
    """Returns the number of an annotation."""
    if not isinstance(entry, dict):
        raise _Unusable("no JSON object")
    number = entry.get("id")
    if not _is_whole(number):
        raise _Unusable("no whole number under id")
    if number in seen:
        raise _Unusable("an id that another one has")
    return int(number)


def _object(
    entry: dict[str, Any], image: CocoImage, labels: Mapping[int, int]
) -> CocoObject | None:
    """Returns an annotation; None where its box has no width or height."""
    category = entry.get("category_id")
    if not _is_whole(category) or category not in labels:
        raise _Unusable("category_id is of no category in the file")
    if entry.get("iscrowd", 0) not in (0, 1):
        raise _Unusable("iscrowd is neither 0 nor 1")
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        raise _Unusable("bbox is not four numbers, left, top, width and height")
    left, top, width, height = map(float, box)
    if width < 0 or height < 0:
        raise _Unusable("bbox has a negative width or height")
    segmentation = coco_masks.parse(
        entry.get("segmentation"), image.height, image.width
    )
    if width == 0 or height == 0:
        return None
    if not (-width < left < image.width and -height < top < image.height):
        raise _Unusable("bbox lies outside of the image")
    area = entry.get("area", width * height)
    if not _is_number(area) or area < 0:
        raise _Unusable("area is no number from 0 on")
    return CocoObject(
        labels[category],
        (left, top, width, height),
        float(area),
        bool(entry.get("iscrowd", 0)),
        segmentation,
    )


def _is_inside(box: tuple[float, float, float, float], image: CocoImage) -> bool:
    left, top, width, height = box
    return (
        min(left, top) >= -_ROUNDING_PX
        and left + width <= image.width + _ROUNDING_PX
        and top + height <= image.height + _ROUNDING_PX
    )


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= _LARGEST_NUMBER


def _name_of(entry: Any, place: int) -> str:
    """Returns the id of an entry, or its place where it has none."""
    number = entry.get("id") if isinstance(entry, dict) else None
    return f"id {number}" if _is_whole(number) else f"number {place + 1} of the list"
