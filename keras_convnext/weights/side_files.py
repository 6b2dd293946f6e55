"""What a folder says of its weights: class names and how images were prepared.

transformers writes `config.json` and `preprocessor_config.json` beside the weights,
timm one `config.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_convnext.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from keras_convnext.weights.errors import BadWeightsFileError

CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
_MOST_BYTES = 16 << 20
# transformers' ConvNextImageProcessor cuts out the middle below this size only.
_SQUASHED_FROM_PX = 384
_CROP_PCT = 224 / 256
# Pillow's numbers, as transformers writes them.
_RESAMPLES = {2: "bilinear", 3: "bicubic"}


@dataclass(frozen=True)
class SideFiles:
    """What was found beside weights.

    Attributes:
        labels: Class names in the order of the outputs; empty if there are none.
        preprocessing: How an image becomes an input; None if nothing says so.
    """

    labels: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None


def read_side_files(weights: Path) -> SideFiles:
    """Returns the contents of the files beside a weights file.

    Args:
        weights: The file, or the folder.

    Raises:
        BadWeightsFileError: A file of transformers or timm is there and garbled.
    """
    folder = weights if weights.is_dir() else weights.parent
    config, processor = _read(folder / CONFIG), _read(folder / PROCESSOR)
    try:
        if isinstance(config.get("pretrained_cfg"), dict):
            given = config["pretrained_cfg"]
            labels = config.get("label_names") or given.get("label_names") or ()
            return SideFiles(tuple(map(str, labels)), _of_timm(given))
        names = config.get("id2label") or {}
        labels = tuple(str(names[key]) for key in sorted(names, key=int))
        return SideFiles(labels, _of_transformers(processor) if processor else None)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise BadWeightsFileError(
            f"{folder}: {CONFIG} or {PROCESSOR} is not as timm or transformers write "
            f"it ({error})."
        ) from error


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is too long")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadWeightsFileError(f"{path} cannot be read ({error}).") from error
    return content if isinstance(content, dict) else {}


def _of_timm(given: Mapping[str, Any]) -> Preprocessing:
    mode = given.get("crop_mode")
    interpolation = given.get("interpolation")
    return Preprocessing(
        size_px=int(given.get("input_size", (3, 224, 224))[-1]),
        mean=tuple(given.get("mean", IMAGENET_MEAN)),
        std=tuple(given.get("std", IMAGENET_STD)),
        crop_fraction=float(given.get("crop_pct", _CROP_PCT)),
        crop_mode="squash" if mode == "squash" else "center",
        interpolation="bilinear" if interpolation == "bilinear" else "bicubic",
    )


def _of_transformers(given: Mapping[str, Any]) -> Preprocessing | None:
    if "image_mean" not in given and "do_normalize" not in given:
        return None
    mean, std = (0.0,) * 3, (1.0,) * 3
    if given.get("do_normalize", True):
        mean = tuple(given.get("image_mean", IMAGENET_MEAN))
        std = tuple(given.get("image_std", IMAGENET_STD))
    # From the scale that its network sees, to 0..1.
    factor = (
        given.get("rescale_factor", 1 / 255) if given.get("do_rescale", True) else 1
    )
    scale = 255.0 * factor
    size_px, crop_mode, fraction = _geometry(given)
    return Preprocessing(
        size_px=size_px,
        mean=tuple(value / scale for value in mean),
        std=tuple(value / scale for value in std),
        crop_fraction=fraction,
        crop_mode=crop_mode,
        interpolation=_RESAMPLES.get(given.get("resample", 3), "bicubic"),
    )


def _geometry(given: Mapping[str, Any]) -> tuple[int, str, float]:
    """Returns the side of the square, how images are cut to it, and the share kept."""
    edge = _side(given.get("size", 224))
    if given.get("do_center_crop") and "crop_size" in given:
        crop = _side(given["crop_size"])
        return crop, "center", min(crop / edge, 1.0)
    size = given.get("size", {})
    is_exact = isinstance(size, dict) and "height" in size
    if is_exact or edge >= _SQUASHED_FROM_PX:
        return edge, "squash", 1.0
    return edge, "center", float(given.get("crop_pct") or _CROP_PCT)


def _side(size: Any) -> int:
    """Returns a side in pixels: 224, {"shortest_edge": 224} or {"height": 224, ...}."""
    if isinstance(size, dict):
        return int(size.get("shortest_edge") or size["height"])
    return int(size)
