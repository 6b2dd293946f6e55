"""Loads Keras as our commands want it where one of them was started: quiet and fast.

Installed, the applications lie inside this package, so Python loads this package, and
Keras and its backend with it, before a command's first line. What TensorFlow logs then
(which instructions the processor has, that there is no GPU) is no news to a person at a
keyboard. A program that imports the library sees what Keras lets it see.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from keras_convnext.native_stderr import hold_stderr

_COMMANDS = "keras-convnext-"
_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_NOTHING, _EVERYTHING = "3", "0"
_FAST_KERNELS = "TF_ENABLE_ONEDNN_OPTS"


def is_command(program: str) -> bool:
    """Returns whether a program's file is one of the installed commands.

    Args:
        program: Its path; on Windows the last part is inside of the .exe.
    """
    return any(part.startswith(_COMMANDS) for part in Path(program).parts[-2:])


def choose_fast_kernels() -> None:
    """Lets TensorFlow use oneDNN unless the person has decided.

    TensorFlow has these kernels and leaves them off on x86 processors without AVX-512
    VNNI or AMX, where they save an eighth to a third of the time (docs/performance.md).
    """
    if platform.machine() in ("x86_64", "AMD64"):
        os.environ.setdefault(_FAST_KERNELS, "1")


def load_keras_quietly() -> None:
    """Imports Keras with stderr put aside, which is shown after all if that fails.

    Several lines come before any log level applies, so the level alone will not do. A
    person who has set it to 0 gets every line.
    """
    if os.environ.setdefault(_LOG_LEVEL, _NOTHING) == _EVERYTHING:
        return
    with hold_stderr():
        import keras  # noqa: F401


if is_command(getattr(sys.modules.get("__main__"), "__file__", None) or ""):
    choose_fast_kernels()
    load_keras_quietly()
