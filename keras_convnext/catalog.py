"""Models and descriptions by name: `create("convnext_tiny.fb_in1k")`."""

from __future__ import annotations

from typing import Any

import keras

from keras_convnext.models import build
from keras_convnext.variants import find_variant, multiply_accumulates

_BY_NAME = "by name"


def create(name: str, weights: str | None = _BY_NAME, **overrides: Any) -> keras.Model:
    """Builds the variant, or the variant and checkpoint, called `name`.

    Args:
        name: A variant ("convnext_nano_ols") with random weights, or a checkpoint
            ("convnext_tiny.fb_in1k") with that checkpoint's weights, head, input size
            and preprocessing; or "hf_hub:owner/name", a model that
            `sharing.push_to_hub` has uploaded, which takes no other arguments.
        weights: `None` never loads any; a path or a tag loads that instead of what
            the name says.
        **overrides: Arguments of the builders, such as `classes`, `input_shape`,
            `include_top` or `stochastic_depth_rate`.

    Returns:
        A functional `keras.Model`: pictures `(batch, height, width, channels)` in
        0..255 in, and probabilities `(batch, classes)` out, unless the arguments say
        otherwise.

    Raises:
        ValueError: There is no such variant or checkpoint, or the arguments do not
            make a model.
    """
    if name.startswith("hf_hub:"):
        from keras_convnext import sharing

        if weights != _BY_NAME or overrides:
            raise ValueError(f"{name} is built as it was uploaded: give no arguments.")
        return sharing.pull_from_hub(name.removeprefix(sharing.PREFIX))
    if not _names_a_checkpoint(name):
        loaded = None if weights == _BY_NAME else weights
        return build(find_variant(name), weights=loaded, **overrides)

    from keras_convnext import weights as weight_files

    record = weight_files.find(name)
    if weights == _BY_NAME:
        weights = record.name
    size_px = record.preprocessing.size_px
    arguments: dict[str, Any] = {
        "weights": weights,
        "preprocessing": record.preprocessing,
        "include_top": record.classes > 0,
    }
    if record.classes:
        arguments |= {
            "classes": record.classes,
            "classifier_activation": record.classifier_activation,
            "input_shape": (size_px, size_px, 3),
        }
    else:
        arguments["pooling"] = "avg"
    return build(find_variant(record.variant), **{**arguments, **overrides})


def describe(name: str, size_px: int = 224) -> str:
    """Returns what there is to know about a variant or a checkpoint, as text.

    Args:
        name: A variant ("convnext_tiny") or a checkpoint ("convnext_tiny.fb_in1k").
        size_px: Side of the picture that a variant's cost is given for, in pixels.

    Raises:
        ValueError: There is no such variant or checkpoint.
    """
    from keras_convnext import weights as weight_files

    if _names_a_checkpoint(name):
        return weight_files.describe(name)
    variant = find_variant(name)
    checkpoints = weight_files.list_weights(f"{name}.*")
    licences = sorted({weight_files.find(each).licence for each in checkpoints})
    cost = multiply_accumulates(variant, size_px) / 1e9
    return "\n".join(
        [
            variant.name,
            f"  depths       {variant.depths}",
            f"  widths       {variant.widths}",
            f"  parameters   {variant.parameters:,} with 1000 classes",
            f"  cost         {cost:.2f} G multiply-accumulates at {size_px} px",
            f"  source       {variant.source}",
            f"  weights      {len(checkpoints)} checkpoints: list_weights('{name}.*')",
            f"  licences     {', '.join(licences) or 'no weights, no licence'}",
        ]
    )


def _names_a_checkpoint(name: str) -> bool:
    """Whether it is like "convnext_tiny.fb_in1k" or "facebook/convnext-tiny-224"."""
    return "." in name or "/" in name
