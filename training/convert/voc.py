"""Pascal VOC's annotations: an XML file for each image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from keras_convnext._data.data_error import DataError
from keras_convnext._files import first_few

from .annotated import (
    AnnotatedBox,
    AnnotatedImage,
    BadFile,
    Converted,
    existing_folder,
    images_by_stem,
    only_image,
    size_of,
)

# Where XML files and images lie: in the development kit, in ImageNet's style, together.
_FOLDERS = (("Annotations", "JPEGImages"), ("annotations", "images"), ("", ""))
_LISTS = "ImageSets/Main"
_MOST_BYTES = 10_000_000
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read(path: str) -> Converted:
    """Reads a folder.

    Images are parted by ImageSets/Main/train.txt and val.txt where both are there.

    Args:
        path: It has Annotations/ and JPEGImages/, or annotations/ and images/, or XML
            files beside images.

    Returns:
        All that was found; classes are sorted by name.

    Raises:
        DataError: There are no XML files.
    """
    root = existing_folder(path)
    for xml, images in _FOLDERS:
        files = sorted((root / xml).glob("*.xml"))
        if files and (root / images).is_dir():
            break
    else:
        inside = first_few(sorted(entry.name for entry in root.iterdir()))
        raise DataError(
            f"{root} has no Annotations/ with XML files beside JPEGImages/; it has "
            f"{inside or 'nothing'}."
        )
    by_stem = images_by_stem(root / images)
    by_name = _parts(root)
    found = Converted(root, ())
    for file in files:
        if by_name and file.stem not in by_name:
            continue
        image = partial(_image, file, by_stem.get(file.stem, ()))
        found.add(by_name.get(file.stem, ""), file, image)
    labels = {
        one.label
        for part in found.parts.values()
        for image in part
        for one in image.boxes
    }
    found.classes = tuple(sorted(labels))
    return found


def _parts(root: Path) -> dict[str, str]:
    """Returns the parts of images, by their names; nothing where there are no lists."""
    lists = {part: root / _LISTS / f"{part}.txt" for part in ("train", "val")}
    if not all(file.is_file() for file in lists.values()):
        return {}
    return {
        line.split()[0]: part
        for part, file in lists.items()
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.strip()
    }


def _image(file: Path, named: Sequence[Path]) -> AnnotatedImage:
    image = only_image(named)
    if file.stat().st_size > _MOST_BYTES:
        raise BadFile("is too large for the annotation of an image")
    try:
        tree = ElementTree.parse(file).getroot()
    except (ElementTree.ParseError, ValueError, OSError) as error:
        raise BadFile(f"is no XML: {error}") from error
    if tree.tag != "annotation":
        raise BadFile(f"holds <{tree.tag}>, not <annotation>")
    height, width = size_of(image)
    stated = tree.findtext("size/height"), tree.findtext("size/width")
    if all(stated) and stated != (str(height), str(width)):
        raise BadFile(
            f"says {stated[1]}x{stated[0]} pixels, and its image has {width}x{height}"
        )
    boxes = tuple(_box(one) for one in tree.iter("object"))
    return AnnotatedImage(image, height, width, boxes)


def _box(one: ElementTree.Element) -> AnnotatedBox:
    label = (one.findtext("name") or "").strip()
    if not label:
        raise BadFile("has an object without a name")
    try:
        corners = [float(one.findtext(f"bndbox/{name}") or "") for name in _CORNERS]
    except ValueError as error:
        raise BadFile(f"has a {label} without four numbers in bndbox") from error
    left, top, right, bottom = corners
    # The first pixel is number 1, and the last one lies within the box.
    box = (left - 1, top - 1, right - left + 1, bottom - top + 1)
    if not (0 < box[2] < 1e6 and 0 < box[3] < 1e6 and abs(left) + abs(top) < 1e6):
        raise BadFile(f"has a {label} whose box ends before it begins, or nowhere")
    return AnnotatedBox(label, box, is_crowd=one.findtext("difficult") == "1")
