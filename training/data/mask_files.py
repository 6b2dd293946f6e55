"""Checks mask files before training: each is decoded once, and its numbers counted.

Training reads masks with TensorFlow's PNG decoder, which gives gray levels of 8 and 16
bits as they are stored. Of what it would turn into colors or stretch (palettes, fewer
bits) a plain copy is made, once, and read instead.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_convnext._data import mask_png
from keras_convnext._data.image_size import read_upright_size
from keras_convnext._data.mask_folders import MaskedImage
from keras_convnext._stderr import hold_stderr
from keras_convnext.image import files as image_files

from . import check_memory
from .file_check import count_checks
from .image_files import CheckedImage, Stamp, copy_of, stamp_of, write_copy


@dataclass(frozen=True)
class CheckedMask:
    """What the check found out about the mask of an image.

    Attributes:
        path: The file.
        readable: What training reads: the file itself, or the copy of it.
        bits: Of a number in `readable`, 8 or 16.
        counts: How many pixels have each number that occurs.
        problem: Why it cannot be used; empty where it can.
    """

    path: Path
    readable: Path
    bits: int = 8
    counts: Mapping[int, int] | None = None
    problem: str = ""


def check_masks(
    root: Path,
    pairs: Sequence[MaskedImage],
    images: Mapping[Path, CheckedImage],
    cache: Path,
) -> list[CheckedMask]:
    """Returns the check of each mask, after decoding those that are new.

    Args:
        root: The folder of the masks, for which the results are kept.
        pairs: Images, all of which can be read, and their masks.
        images: The check of each image.
        cache: Folder for the copies, and for the results.

    Raises:
        DataError: A copy cannot be written.
    """
    copies = cache / "masks"
    place = check_memory.place_for(root, cache / "checks")
    known = _known(place, pairs, copies)
    new = [pair for pair in pairs if pair not in known]
    with hold_stderr() as stderr:
        try:
            answers = _checked_in_threads(new, images, copies)
            counted = count_checks(answers, len(new), stderr, "masks")
            for pair, answer in zip(new, counted, strict=True):
                known[pair] = answer
        finally:
            if new:
                _keep(place, known)
    return [known[pair] for pair in pairs]


def _checked_in_threads(
    pairs: Sequence[MaskedImage], images: Mapping[Path, CheckedImage], copies: Path
) -> Iterator[CheckedMask]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            yield from pool.map(
                lambda pair: _checked(pair, images[pair.image], copies), pairs
            )
        finally:
            pool.shutdown(cancel_futures=True)


def _checked(pair: MaskedImage, image: CheckedImage, copies: Path) -> CheckedMask:
    path = pair.mask
    try:
        contents = path.read_bytes()
        size = mask_png.read_size(contents)
        wanted, is_turned = _upright_size(Path(image.readable))
        if size != wanted:
            return CheckedMask(path, path, problem=_unlike(size, wanted, is_turned))
        is_plain = mask_png.is_plain(contents)
        numbers = (
            _as_training_reads(contents)
            if is_plain
            else mask_png.read_numbers(contents)
        )
    except OSError as error:
        return CheckedMask(path, path, problem=error.strerror or str(error))
    except mask_png.UnreadableMask as error:
        return CheckedMask(path, path, problem=str(error))
    counts = np.bincount(numbers.ravel())
    values = np.flatnonzero(counts)
    occurring = dict(zip(values.tolist(), counts[values].tolist(), strict=True))
    bits = numbers.dtype.itemsize * 8
    if is_plain:
        return CheckedMask(path, path, bits, occurring)
    copy = copy_of(hashlib.sha256(contents).hexdigest()[:32], copies)
    if not copy.exists():
        write_copy(Image.fromarray(numbers), copy)
    return CheckedMask(path, copy, bits, occurring)


def _as_training_reads(contents: bytes) -> np.ndarray:
    """Returns the numbers of a plain mask, by the decoder that will read it again."""
    bits = contents[mask_png.BITS_AT]
    try:
        pixels: np.ndarray = decode_mask(tf.constant(contents), bits).numpy()
    except tf.errors.OpError as error:
        raise mask_png.UnreadableMask("is damaged") from error
    return pixels


def decode_mask(contents: tf.Tensor, bits: int) -> tf.Tensor:
    """Returns the numbers of a gray PNG file.

    Args:
        contents: The file, a scalar string.
        bits: Of a number, 8 or 16.

    Returns:
        uint8 or uint16 `(height, width)`.
    """
    dtype = tf.uint8 if bits == 8 else tf.uint16
    return tf.image.decode_png(contents, channels=1, dtype=dtype)[..., 0]


def _upright_size(path: Path) -> tuple[tuple[int, int], bool]:
    """Returns height and width of an image as it is decoded, and if it is turned."""
    try:
        return read_upright_size(path)
    # What Pillow does not open, or only with warnings, the decoder does.
    except Exception:
        pixels = image_files.read_pixels(path.read_bytes())
        return (pixels.shape[0], pixels.shape[1]), False


def _unlike(size: tuple[int, int], wanted: tuple[int, int], is_turned: bool) -> str:
    text = f"has {size[1]}x{size[0]} pixels, and its image {wanted[1]}x{wanted[0]}"
    if is_turned and size == wanted[::-1]:
        return f"{text}, as its EXIF note turns it: turn the mask likewise"
    return text


def _known(
    place: Path, pairs: Sequence[MaskedImage], copies: Path
) -> dict[MaskedImage, CheckedMask]:
    """Returns the stored results of masks that have not changed, nor their images."""
    by_mask = {pair.mask: pair for pair in pairs}
    known = {}
    try:
        for path, (_, row) in check_memory.read_rows(place, by_mask).items():
            image_stamp, digest, bits, counts, problem = row
            pair = by_mask[path]
            readable = copy_of(digest, copies) if digest else path
            if Stamp(*image_stamp) == stamp_of(pair.image) and readable.exists():
                numbers = {int(number): count for number, count in counts}
                known[pair] = CheckedMask(path, readable, bits, numbers, problem)
    except (OSError, ValueError, TypeError):
        return {}
    return known


def _keep(place: Path, known: Mapping[MaskedImage, CheckedMask]) -> None:
    rows = {}
    for pair, mask in known.items():
        try:
            stamps = stamp_of(pair.mask), stamp_of(pair.image)
        except OSError:
            continue
        digest = "" if mask.readable == mask.path else mask.readable.stem
        counts = list((mask.counts or {}).items())
        rows[pair.mask] = (*stamps, digest, mask.bits, counts, mask.problem)
    check_memory.write_rows(place, rows)
