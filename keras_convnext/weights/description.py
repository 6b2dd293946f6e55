"""A checkpoint's model card, the license first."""

from __future__ import annotations

from keras_convnext.preprocessing import Preprocessing
from keras_convnext.variants import find_variant
from keras_convnext.weights.pretrained import Accuracy, PretrainedWeights
from keras_convnext.weights.registry import find

_OUTPUTS = {
    "imagenet1k": "1000 classes of ImageNet-1k",
    "imagenet12k": "11821 classes of ImageNet-12k",
    "imagenet22k": "21841 classes of ImageNet-22k",
}


def describe(name: str) -> str:
    """Returns a description of a published checkpoint, as text.

    Args:
        name: "arch.tag", or the id of a repository on the Hugging Face hub.

    Raises:
        ValueError: There is no such checkpoint.

    Example:
        >>> from keras_convnext import weights
        >>> print(weights.describe("convnext_tiny.fb_in1k").splitlines()[0])
        convnext_tiny.fb_in1k
    """
    record = find(name)
    variant = find_variant(record.variant)
    rows: list[tuple[str, str | None]] = [
        ("license", _license(record)),
        ("variant", record.variant),
        ("parameters", f"{variant.parameters:,} with 1000 classes"),
        ("outputs", _outputs(record)),
        ("images", _images(record.preprocessing)),
    ]
    if record.test_preprocessing != record.preprocessing:
        rows.append(("tested on", _images(record.test_preprocessing)))
    rows += [
        ("accuracy", _accuracy(figure))
        for figure in dict.fromkeys((record.accuracy, record.test_accuracy))
        if figure is not None
    ]
    rows += [
        ("source", f"{record.hub_id} on the hub" if record.hub_id else record.url),
        ("checksum", record.checksum or "none published"),
    ]
    if record.size_bytes:
        rows.append(("bytes", f"{record.size_bytes:,}"))
    if record.note:
        rows.append(("note", record.note))
    return "\n".join([record.name, *(f"  {word:<12} {text}" for word, text in rows)])


def _license(record: PretrainedWeights) -> str:
    text = record.license
    if record.is_non_commercial:
        text += " (NOT for commercial use)"
    if record.is_gated:
        text += " (its terms have to be accepted on the hub first)"
    return text


def _outputs(record: PretrainedWeights) -> str:
    if record.labels:
        return _OUTPUTS[record.labels]
    if record.classes:
        return f"an embedding of {record.classes} numbers"
    return "features; there is no classifier"


def _images(preprocessing: Preprocessing) -> str:
    size = preprocessing.size_px
    how = f"the middle {preprocessing.crop_fraction:.3g} of the shorter side"
    if preprocessing.crop_mode == "squash":
        how = "squashed to the square"
    elif preprocessing.crop_fraction == 1:
        how = "the middle square"
    mean = ", ".join(f"{value:.3f}" for value in preprocessing.mean)
    std = ", ".join(f"{value:.3f}" for value in preprocessing.std)
    return (
        f"{size}x{size} px, {how}, {preprocessing.interpolation}, mean {mean}, "
        f"std {std}"
    )


def _accuracy(figure: Accuracy) -> str:
    top5 = f", top-5 {figure.top5:.2f} %" if figure.top5 else ""
    return (
        f"top-1 {figure.top1:.2f} %{top5} on ImageNet-1k at {figure.size_px} px "
        f"({figure.source})"
    )
