"""Images with masks: what `--data=masks:DIR` of training names."""

from __future__ import annotations

from pathlib import Path

from keras_convnext._data import mask_classes, mask_folders, mask_png
from keras_convnext._data.data_error import DataError

from . import image_files
from .image_set import EncodedImage, ImageSet, Splits


def find_masks(named: str, skip_bad: bool = False) -> Splits:
    """Returns the images of a folder with images/ and annotations/ in it.

    Args:
        named: The folder.
        skip_bad: Whether to leave out what cannot be used, as a run may have done.

    Raises:
        DataError: It is none, or an image has no mask.
    """
    root = Path(named).expanduser()
    parts = mask_folders.find_parts(root)
    classes = mask_classes.read_classes(root)
    if classes is None:
        raise DataError(
            f"{root} has no {mask_classes.CLASSES_FILE}, which names the classes: a "
            "name a line, the first one for number 0"
        )

    def part(name: str) -> ImageSet:
        listed = mask_folders.list_part(root, name)
        if (problems := listed.problems()) and not skip_bad:
            raise DataError(" ".join(problems))
        words = f"masks:{root}" + (f", {name}" if name else "")

        def describe(number: int, contents: bytes) -> EncodedImage:
            pair = listed.pairs[number]
            try:
                numbers = mask_png.read_numbers(pair.mask.read_bytes())
            except (OSError, ValueError) as error:
                raise ValueError(f"{pair.mask} {error}") from error
            mask = classes.labels[numbers]
            if mask.min(initial=0) < 0:
                raise ValueError(
                    f"{pair.mask} holds numbers that classes.txt does not name"
                )
            return EncodedImage(
                pair.image.name, contents, mask=mask, classes=classes.names
            )

        paths = [pair.image for pair in listed.pairs]
        return image_files.of_paths(words, paths, describe, skip_bad)

    evaluation = parts.get("validation") or parts.get("test")
    if "train" in parts and evaluation:
        return Splits(part(parts["train"]), part(evaluation))
    whole = part("")
    return Splits(whole, whole, undivided=True)
