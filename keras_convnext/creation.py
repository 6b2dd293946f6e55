"""Models and descriptions by name: `create("convnext_tiny.fb_in1k")`."""

from __future__ import annotations

import difflib
import inspect
from typing import TYPE_CHECKING, Any

import keras

from keras_convnext.detection.by_name import PREFIXES as DETECTORS
from keras_convnext.detection.by_name import create_detector
from keras_convnext.models import build
from keras_convnext.segmentation.checkpoints import PREFIX as UPERNET
from keras_convnext.segmentation.upernet import create_upernet
from keras_convnext.variants import find_variant, multiply_accumulates

if TYPE_CHECKING:
    from keras_convnext.weights import PretrainedWeights

_BY_NAME = "by name"


def create(name: str, weights: str | None = _BY_NAME, **overrides: Any) -> keras.Model:
    """Builds the variant, or the variant and checkpoint, called `name`.

    Args:
        name: A variant ("convnext_nano_ols") with random weights, or a checkpoint
            ("convnext_tiny.fb_in1k") with that checkpoint's weights, head, input size
            and preprocessing; or "hf_hub:owner/name", a model that
            `hub.push_to_hub` has uploaded, which takes no other arguments; or a
            UPerNet, "upernet_convnext_tiny" or "upernet_convnext_tiny.ade20k_512", with
            the arguments of `UPerNet`; or a detector, "mask_rcnn_convnext_tiny" or
            "cascade_mask_rcnn_convnext_base.coco_in22k", with those of `MaskRCNN`.
        weights: `None` never loads any; a path or a tag loads that instead of what
            the name says.
        **overrides: Arguments of the builders, such as `classes`, `input_shape`,
            `include_top` or `stochastic_depth_rate`.

    Returns:
        A functional `keras.Model`: images `(batch, height, width, channels)` in
        0..255 in, and probabilities `(batch, classes)` out, unless the arguments say
        otherwise. A checkpoint without a classifier makes a model without a top,
        whose output is `(batch, features)`, and says so.

    Raises:
        ValueError: There is no such variant or checkpoint, or the arguments do not
            make a model.
        TypeError: The builders have no such argument.

    Example:
        >>> import keras_convnext
        >>> model = keras_convnext.create("convnext_atto", classes=10)
        >>> model.output_shape
        (None, 10)
    """
    _check_name(name)
    if name.startswith(UPERNET):
        return create_upernet(name, weights, **overrides)
    if name.startswith(DETECTORS):
        return create_detector(name, weights, **overrides)
    _check_overrides(overrides)
    if name.startswith("hf_hub:"):
        from keras_convnext import hub

        if weights != _BY_NAME or overrides:
            raise ValueError(f"{name} is built as it was uploaded: give no arguments.")
        return hub.pull_from_hub(name.removeprefix(hub.PREFIX))
    if not _names_a_checkpoint(name):
        loaded = None if weights == _BY_NAME else weights
        return build(find_variant(name), weights=loaded, **overrides)

    from keras_convnext import weights as weight_files

    record = weight_files.find(name)
    if weights == _BY_NAME:
        weights = record.name
    arguments: dict[str, Any] = {
        "weights": weights,
        "preprocessing": record.preprocessing,
        **_head(record, overrides),
        **overrides,
    }
    return build(find_variant(record.variant), **arguments)


def _head(record: PretrainedWeights, overrides: dict[str, Any]) -> dict[str, Any]:
    """Returns the builder's arguments for a checkpoint's head, or for its absence."""
    from keras_convnext.weights.user_warning import warn_user

    if not record.classes:
        if "include_top" not in overrides:
            warn_user(
                f"{record.name} has no classifier: the model's output is its features. "
                "include_top=True and classes=... add an untrained one."
            )
        return {"include_top": False, "pooling": "avg"}
    size_px = record.preprocessing.size_px
    arguments: dict[str, Any] = {
        "include_top": True,
        "classes": record.classes,
        "input_shape": (size_px, size_px, 3),
    }
    # A head of one's own has classes, whatever stood in its place.
    if "classes" not in overrides:
        arguments["classifier_activation"] = record.classifier_activation
        if not record.labels and overrides.get("include_top", True):
            warn_user(
                f"{record.name} has no classifier: the model's output is an embedding "
                f"of {record.classes} numbers."
            )
    return arguments


def describe(name: str, size_px: int = 224) -> str:
    """Returns a description of a variant or a checkpoint, as text.

    Args:
        name: A variant ("convnext_tiny") or a checkpoint ("convnext_tiny.fb_in1k").
        size_px: Side of the image that a variant's cost is given for, in pixels.

    Raises:
        ValueError: There is no such variant or checkpoint.

    Example:
        >>> import keras_convnext
        >>> print(keras_convnext.describe("convnext_atto").splitlines()[0])
        convnext_atto
    """
    from keras_convnext import weights as weight_files

    _check_name(name)
    if _names_a_checkpoint(name):
        return weight_files.describe(name)
    variant = find_variant(name)
    checkpoints = weight_files.list_weights(f"{name}.*")
    licenses = sorted({weight_files.find(each).license for each in checkpoints})
    cost = multiply_accumulates(variant, size_px) / 1e9
    return "\n".join(
        [
            variant.name,
            f"  licenses     {', '.join(licenses) or 'no weights, no license'}",
            f"  depths       {variant.depths}",
            f"  widths       {variant.widths}",
            f"  parameters   {variant.parameters:,} with 1000 classes",
            f"  cost         {cost:.2f} G multiply-accumulates at {size_px} px",
            f"  source       {variant.source}",
            f"  weights      {len(checkpoints)} checkpoints: list_weights('{name}.*')",
        ]
    )


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        raise ValueError(
            "A model is named by a string, such as 'convnext_tiny' or "
            f"'convnext_tiny.fb_in1k'; got {type(name).__name__}."
        )


def _check_overrides(overrides: dict[str, Any]) -> None:
    known = [name for name in inspect.signature(build).parameters if name != "variant"]
    for name in overrides:
        if name not in known:
            closest = difflib.get_close_matches(name, known, n=3, cutoff=0.0)
            raise TypeError(
                f"create() got an unexpected argument {name!r}; the closest of the "
                f"builders' arguments are {', '.join(closest)}."
            )


def _names_a_checkpoint(name: str) -> bool:
    """Whether it is like "convnext_tiny.fb_in1k" or "facebook/convnext-tiny-224"."""
    return "." in name or "/" in name
