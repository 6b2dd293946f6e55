"""A published checkpoint as what is exported: `convnext_tiny.fb_in1k`."""

from __future__ import annotations

import hashlib

from keras_convnext._messages import UsageError
from keras_convnext.inference.loaded_model import load_published

from ..export_error import ExportError
from .loaded_model import Source


def load(name: str) -> Source:
    """Fetches a checkpoint and builds its model.

    Args:
        name: "arch.tag", one of `keras_convnext.weights.list_weights()`.

    Raises:
        UsageError: There is no such checkpoint, or it has no classes.
        ExportError: It cannot be fetched.
    """
    try:
        loaded = load_published(name)
    except ValueError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise ExportError(f"{name} could not be loaded: {error}") from error
    digest = hashlib.sha256()
    for array in loaded.model.get_weights():
        digest.update(array.tobytes())
    return Source(**vars(loaded), sha256=digest.hexdigest())
