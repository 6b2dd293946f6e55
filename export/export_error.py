"""What export raises for an export that does not turn out as it must."""

from __future__ import annotations

from keras_convnext._messages import CommandError


class ExportError(CommandError):
    """An export that was begun and failed, in one line."""
