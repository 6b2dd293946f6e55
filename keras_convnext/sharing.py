"""The old name of `keras_convnext.hub`, which ends with 0.3."""

from keras_convnext._renamed import warn_renamed
from keras_convnext.hub import pull_from_hub, push_to_hub, read, write

__all__ = ["pull_from_hub", "push_to_hub", "read", "write"]

warn_renamed("keras_convnext.sharing", "keras_convnext.hub")
