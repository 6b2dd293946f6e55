"""Whether this process is one of the project's commands, which load Keras themselves.

Installed, the applications lie inside this package, so Python loads this package before
a command's first line. Loading Keras takes seconds and prints lines about the machine:
a command answers `--help` and usage errors first, and loads it quietly
(`keras_convnext._cli.import_tensorflow`). A program that imports the library gets Keras
at once, and sees what Keras prints.
"""

from __future__ import annotations

import sys
from pathlib import Path

_COMMANDS = "keras-convnext-"
# Where the applications lie in a checkout, and installed.
_APPLICATIONS = tuple(
    root / application
    for root in (Path(__file__).parents[1], Path(__file__).parent)
    for application in ("training", "export")
)


def is_command(program: str | None = None) -> bool:
    """Returns True if a program's file is one of the project's commands.

    Args:
        program: Its path; on Windows the last part is inside of the .exe. None is the
            program that runs.
    """
    if program is None:
        program = getattr(sys.modules.get("__main__"), "__file__", None) or ""
    path = Path(program)
    if path.name.endswith("main.py") and path.absolute().parent in _APPLICATIONS:
        return True
    return any(part.startswith(_COMMANDS) for part in path.parts[-2:])
