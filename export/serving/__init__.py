"""The former place of `export.server.deploy`, for one release."""

import warnings

from ..server import deploy

warnings.warn(
    "export.serving is export.server.deploy now; the old name ends with 0.3",
    DeprecationWarning,
    stacklevel=2,
)
__path__ = deploy.__path__
