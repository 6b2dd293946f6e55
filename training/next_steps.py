"""What a person types next, once a run is finished."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from keras_convnext.commands import INSTALLED

from .workdir import Workdir


def steps(workdir: Workdir) -> tuple[tuple[str, str], ...]:
    """Returns what may be done with a finished run: in words, and the command.

    Args:
        workdir: The run's.
    """
    place, model, seen, exported = (
        shlex.quote(str(path))
        for path in (
            workdir.path,
            workdir.model,
            workdir.path / "seen",
            workdir.path / "export",
        )
    )
    ask, explain = program("training.predict_main"), program("training.explain_main")
    return (
        ("to ask it", f"{ask} --model={place} PICTURE..."),
        ("to see why", f"{explain} --model={place} --out={seen} PICTURE..."),
        ("to export", f"{program('export.main')} --model={model} --out={exported}"),
    )


def program(module: str) -> str:
    """Returns the words that run a command in the shell that this one was run from.

    Args:
        module: As in a checkout, "training.predict_main".
    """
    python = Path(sys.executable)
    if __package__ == "training":
        return f"{called(python)} -m {module}"
    return called(python.with_name(INSTALLED[module]))


def called(program: Path) -> str:
    """Returns the shortest name of a program: its own, a path from here, or all of it.

    Args:
        program: An absolute path.
    """
    found = shutil.which(program.name)
    if found is not None and Path(found) == program:
        return program.name
    here = Path.cwd()
    shown = program.relative_to(here) if program.is_relative_to(here) else program
    return shlex.quote(str(shown))
