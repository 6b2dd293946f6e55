"""The names of ImageNet's classes: 1k, 12k and 22k."""

from __future__ import annotations

import functools
import lzma
from importlib import resources

# Column of tables/imagenet_classes.tsv.xz that marks a list's members, by its length.
# In each list the classes are in the order of their WordNet ids.
_LISTS = {1000: "a", 11821: "b", 21841: "c"}


@functools.cache
def class_names(classes: int) -> tuple[tuple[str, str], ...]:
    """Returns WordNet id and name of every class, in the order of the outputs.

    Args:
        classes: 1000 (ImageNet-1k), 11821 (timm's ImageNet-12k) or 21841
            (ImageNet-22k).

    Raises:
        ValueError: There is no list of that length.

    Example:
        >>> from keras_convnext.labels import class_names
        >>> class_names(1000)[207]
        ('n02099601', 'golden_retriever')
    """
    if classes not in _LISTS:
        raise ValueError(
            f"There are class names for {', '.join(map(str, _LISTS))} classes "
            f"(ImageNet-1k, -12k, -22k), not for {classes}."
        )
    table = resources.files("keras_convnext.weights") / "tables"
    packed = (table / "imagenet_classes.tsv.xz").read_bytes()
    rows = [line.split("\t") for line in lzma.decompress(packed).decode().splitlines()]
    return tuple(
        (synset, name.replace(" ", "_"))
        for synset, lists, name in rows
        if _LISTS[classes] in lists
    )
