"""What can go wrong between a name and a loaded model."""

from __future__ import annotations

_LONGEST = 2_000


class BadWeightsFileError(ValueError):
    """The file cannot be read as weights; nothing of it was used.

    Its text is one line that is safe to print, whatever names the file holds.

    Example:
        >>> from pathlib import Path
        >>> import keras_convnext
        >>> model = keras_convnext.create("convnext_atto", classes=10)
        >>> _ = Path("broken.safetensors").write_bytes(b"no weights")
        >>> try:
        ...     keras_convnext.load_weights(model, "broken.safetensors")
        ... except keras_convnext.weights.BadWeightsFileError as error:
        ...     print("refused")
        refused
    """

    def __init__(self, text: str) -> None:
        super().__init__(_printable(text))


class WeightsMismatchError(ValueError):
    """The file's tensors are not the model's; the model is as it was.

    Example:
        >>> import keras_convnext
        >>> model = keras_convnext.create("convnext_atto", classes=10)
        >>> path = keras_convnext.save_weights_as(model, "atto.safetensors", "timm")
        >>> other = keras_convnext.create("convnext_femto", classes=10)
        >>> try:
        ...     keras_convnext.load_weights(other, path)
        ... except keras_convnext.weights.WeightsMismatchError as error:
        ...     print(str(error).splitlines()[0])
        atto.safetensors (safetensors, timm names, 128 tensors) does not fit the model:
    """

    def __init__(self, text: str) -> None:
        super().__init__("\n".join(map(_printable, text.split("\n"))))


class DownloadError(OSError):
    """The weights could not be fetched; nothing half-fetched is ever used.

    Example:
        >>> import keras_convnext
        >>> try:  # doctest: +SKIP
        ...     model = keras_convnext.ConvNeXtTiny(weights="imagenet")
        ... except keras_convnext.weights.DownloadError as error:
        ...     print(error)
    """


def _printable(text: str) -> str:
    """Returns a text with what would steer a terminal written out as in Python."""
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]} ..."
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
        for each in text
    )
