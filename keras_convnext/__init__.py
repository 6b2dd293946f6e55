"""ConvNeXt for Keras: every published variant, built, trained and exported."""

from typing import Any

from keras_convnext._startup import is_command

__version__ = "0.2.0"

if is_command():
    # A command answers --help and usage errors before it loads Keras.
    def __getattr__(name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module, util

        if util.find_spec(f"{__name__}.{name}"):
            # Alone: a module of this package that imports another comes here, too.
            return import_module(f"{__name__}.{name}")
        from keras_convnext import _public

        return getattr(_public, name)
else:
    from keras_convnext._public import *  # noqa: F403
    from keras_convnext._public import __all__  # noqa: F401
