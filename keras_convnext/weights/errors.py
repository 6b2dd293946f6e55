"""What can go wrong between a name and a loaded model."""

from __future__ import annotations


class BadWeightsFileError(ValueError):
    """The file cannot be read as weights; nothing of it was used."""


class WeightsMismatchError(ValueError):
    """The file's tensors are not the model's; the model is as it was."""


class DownloadError(OSError):
    """The weights could not be fetched; nothing half-fetched is ever used."""
