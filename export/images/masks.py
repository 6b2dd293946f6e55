"""Images with masks: what `--data=masks:DIR` of training names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from pathlib import Path

from keras_convnext._data import mask_classes, mask_folders, mask_png
from keras_convnext._data.data_error import DataError
from keras_convnext._messages import UsageError

from .image_set import EncodedImage, ImageSet, Splits

Encode = Callable[[Path], bytes]


def find_masks(named: str, encode: Encode) -> Splits:
    """Returns the images of a folder with images/ and annotations/ in it.

    Args:
        named: The folder.
        encode: Returns a file that an exported graph can decode, for an image's.

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
        if problems := listed.problems():
            raise DataError(" ".join(problems))
        words = f"masks:{root}" + (f", {name}" if name else "")
        return of_pairs(words, listed.pairs, classes, encode)

    evaluation = parts.get("validation") or parts.get("test")
    if "train" in parts and evaluation:
        return Splits(part(parts["train"]), part(evaluation))
    whole = part("")
    return Splits(whole, whole, undivided=True)


def divide(root: Path, apart: Set[Path], encode: Encode) -> Splits:
    """Returns a run's training and validation images, of data without parts.

    Args:
        root: The folder.
        apart: The validation images, absolute.
        encode: As for `find_masks`.

    Raises:
        UsageError: They are not in the folder any more.
    """
    classes = mask_classes.read_classes(root)
    pairs = mask_folders.list_part(root).pairs
    validation = [pair for pair in pairs if pair.image.resolve() in apart]
    if classes is None or len(validation) < len(apart):
        raise UsageError(
            f"{len(apart) - len(validation)} of the run's validation images are not in "
            f"{root} any more"
        )
    others = [pair for pair in pairs if pair.image.resolve() not in apart]
    training, kept = (
        of_pairs(f"{root}, the run's {words} images", part, classes, encode)
        for words, part in (("training", others), ("validation", validation))
    )
    return Splits(training, kept)


def of_pairs(
    words: str,
    pairs: Sequence[mask_folders.MaskedImage],
    classes: mask_classes.MaskClasses,
    encode: Encode,
) -> ImageSet:
    """Returns images with masks as an origin.

    Args:
        words: What they are.
        pairs: The files.
        classes: What the numbers in the masks mean.
        encode: As for `find_masks`.
    """

    def read(numbers: Iterable[int]) -> list[EncodedImage]:
        found = []
        for pair in (pairs[number] for number in numbers):
            try:
                contents = encode(pair.image)
            except ValueError as error:
                raise UsageError(f"{pair.image}: {error}") from error
            try:
                numbers_of = mask_png.read_numbers(pair.mask.read_bytes())
            except (OSError, ValueError) as error:
                raise UsageError(f"{pair.mask} {error}") from error
            mask = classes.labels[numbers_of]
            if mask.min(initial=0) < 0:
                raise UsageError(
                    f"{pair.mask} holds numbers that classes.txt does not name"
                )
            found.append(
                EncodedImage(
                    pair.image.name, contents, mask=mask, classes=classes.names
                )
            )
        return found

    return ImageSet(words, len(pairs), read)
