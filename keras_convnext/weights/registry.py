"""The registry: every published checkpoint by name.

The records lie in tables/, one file a publisher, one line a checkpoint.
"""

from __future__ import annotations

import csv
import difflib
import fnmatch
import functools
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from keras_convnext.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from keras_convnext.weights.pretrained import Accuracy, PretrainedWeights

# Where a name stands in several tables, the earlier one wins; so does it for a tag.
PUBLISHERS = ("timm", "keras", "meta", "huggingface", "torchvision")
ROLES = ("imagenet", "imagenet22k")
COLORS = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "clip": (
        (0.48145466, 0.4578275, 0.40821073),
        (0.26862954, 0.26130258, 0.27577711),
    ),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
_CLOSEST = 3


@functools.cache
def records() -> Mapping[str, PretrainedWeights]:
    """Returns every record by its name."""
    found: dict[str, PretrainedWeights] = {}
    tables = resources.files("keras_convnext.weights") / "tables"
    for publisher in PUBLISHERS:
        text = (tables / f"{publisher}.csv").read_text(encoding="utf-8")
        for row in csv.DictReader(text.splitlines()):
            found[row["name"]] = _record(publisher, row)
    return found


def list_weights(pattern: str = "*") -> list[str]:
    """Returns the names of the published checkpoints that match a pattern.

    Args:
        pattern: Shell-style, for example "*tiny*" or "convnextv2_*.fcmae"; case
            does not matter. timm's three test models are only found by name.

    Example:
        >>> import keras_convnext
        >>> keras_convnext.list_weights("convnext_atto*")
        ['convnext_atto.d2_in1k', 'convnext_atto_ols.a2_in1k']
    """
    return sorted(
        name
        for name in records()
        if fnmatch.fnmatch(name, pattern.lower()) and not name.startswith("test_")
    )


def find(name: str) -> PretrainedWeights:
    """Returns the record called `name`.

    Args:
        name: "arch.tag", or the id of a repository on the Hugging Face hub.

    Raises:
        ValueError: There is none; the message names the closest three.

    Example:
        >>> from keras_convnext import weights
        >>> weights.find("convnext_tiny.fb_in1k").variant
        'convnext_tiny'
    """
    known = records()
    if name in known:
        return known[name]
    for record in known.values():
        if record.hub_id == name:
            return record
    if name in ROLES or any(record.tag == name for record in known.values()):
        raise ValueError(
            f"{name!r} is ambiguous, because several variants have it: give the whole "
            "name, such as 'convnext_tiny.fb_in1k', or build with weights="
            f"{name!r}; keras_convnext.list_weights() has all names."
        )
    closest = difflib.get_close_matches(name, known, n=_CLOSEST, cutoff=0.0)
    raise ValueError(
        f"There are no weights called {name!r}. The closest names are "
        f"{', '.join(closest)}; keras_convnext.list_weights() has them all."
    )


def resolve(
    variant: str, source: str | os.PathLike[str] | None
) -> PretrainedWeights | Path | None:
    """Finds out what a builder's `weights` argument means.

    Args:
        variant: Name of the variant that is to be built.
        source: None, "imagenet", "imagenet22k", a tag of this variant ("fb_in1k"),
            a whole name ("convnext_tiny.fb_in1k"), a hub id, or a path.

    Returns:
        The record, the path of a file that exists, or None for random weights.

    Raises:
        ValueError: It is none of these, or belongs to another variant.

    Example:
        >>> from keras_convnext import weights
        >>> weights.resolve("convnext_tiny", "fb_in1k").name
        'convnext_tiny.fb_in1k'
    """
    if source is None:
        return None
    name = _text(source)
    own = {r.tag: r for r in records().values() if r.variant == variant}
    if name in own:
        return own[name]
    if name in ROLES:
        return _with_role(variant, name)
    found = _by_whole_name(name)
    if found is not None:
        if found.variant != variant:
            raise ValueError(
                f"{found.name} are weights of {found.variant}, not of {variant}; "
                f"{variant} has {_enumerated(list(own))}."
            )
        return found
    if _is_path(source):
        return _existing(Path(name))
    closest = difflib.get_close_matches(name, [*own, *ROLES], n=_CLOSEST, cutoff=0.0)
    raise ValueError(
        f"{variant} has no weights called {name!r}, and there is no file of that name. "
        f"The closest names are {_enumerated(closest)}; "
        f"keras_convnext.list_weights('{variant}.*') has them all."
    )


def locate(
    source: PretrainedWeights | str | os.PathLike[str],
) -> PretrainedWeights | Path:
    """Finds out what a name or a path means where no variant is given.

    Raises:
        ValueError: It is neither a published checkpoint nor a file.
    """
    if isinstance(source, PretrainedWeights):
        return source
    name = _text(source)
    found = _by_whole_name(name)
    if found is not None:
        return found
    if _is_path(source):
        return _existing(Path(name))
    return find(name)


def _text(source: object) -> str:
    if not isinstance(source, str | os.PathLike):
        raise ValueError(
            "Weights are the name of a published checkpoint or a path; got "
            f"{type(source).__name__}."
        )
    return os.fspath(source)


def _by_whole_name(name: str) -> PretrainedWeights | None:
    """Returns the record of that name or hub id, None if there is none."""
    known = records()
    by_hub_id = {r.hub_id: r for r in known.values() if r.hub_id}
    return known.get(name) or by_hub_id.get(name)


def _with_role(variant: str, role: str) -> PretrainedWeights:
    candidates = [r for r in records().values() if r.variant == variant]
    for record in candidates:
        if record.role == role:
            return record
    tags = _enumerated([record.tag for record in candidates])
    raise ValueError(
        f"Nobody has published {role!r} weights of {variant}"
        + (f"; there are {tags}." if candidates else ", nor any others.")
    )


def _is_path(source: str | os.PathLike[str]) -> bool:
    """Whether a person must have meant a path, whether or not it exists."""
    if not isinstance(source, str):
        return True
    separators = [os.sep, *([os.altsep] if os.altsep else [])]
    endings = (".h5", ".keras", ".safetensors", ".json", ".pth", ".pt", ".bin", ".npz")
    return (
        any(separator in source for separator in separators)
        or source.endswith(endings)
        or Path(source).exists()
    )


def _existing(path: Path) -> Path:
    path = path.expanduser()
    if not path.exists():
        raise ValueError(f"There is no weights file {path}.")
    return path


def _enumerated(names: list[str]) -> str:
    return ", ".join(names) if names else "none"


def _record(publisher: str, row: Mapping[str, str]) -> PretrainedWeights:
    source = row["source"]
    hub_id = source.removeprefix("hub:") if source.startswith("hub:") else None
    return PretrainedWeights(
        name=row["name"],
        variant=row["variant"],
        publisher=publisher,
        hub_id=hub_id,
        url=None if hub_id else source,
        files=tuple(row["file"].split("|")),
        checksum=row["checksum"] or None,
        size_bytes=int(row["bytes"]) if row["bytes"] else None,
        license=row["license"],
        classes=int(row["classes"]),
        role=row["role"],
        preprocessing=_preprocessing(row, ""),
        test_preprocessing=_preprocessing(row, "test_"),
        accuracy=_accuracy(row, ""),
        test_accuracy=_accuracy(row, "test_"),
        note=row["note"],
    )


def _preprocessing(row: Mapping[str, str], which: str) -> Preprocessing:
    mean, std = COLORS[row["colors"]]
    return Preprocessing(
        size_px=int(row[f"{which}size_px"]),
        mean=mean,
        std=std,
        crop_fraction=float(row[f"{which}crop_fraction"]),
        crop_mode=row["crop_mode"],
        interpolation=row["interpolation"],
    )


def _accuracy(row: Mapping[str, str], which: str) -> Accuracy | None:
    if not row[f"{which}top1"]:
        return None
    return Accuracy(
        top1=float(row[f"{which}top1"]),
        top5=float(row[f"{which}top5"]) if row[f"{which}top5"] else None,
        size_px=int(row[f"{which}size_px"]),
        source=row["figures_from"],
    )
