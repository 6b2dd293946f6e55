"""What a person types next, once a run is finished."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_convnext._command_names import INSTALLED, IS_INSTALLED

from ..workdir.layout import Workdir


def steps(workdir: Workdir) -> tuple[tuple[str, str], ...]:
    """Returns the next steps after a finished run: a word and the command for each.

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
    export = ("export", f"{program('export.main')} --model={model} --out={exported}")
    task = (workdir.stored() or {}).get("task")
    if task in ("masked_autoencoding", "feature_distillation"):
        # Its model has no answers yet.
        tuned = shlex.quote(f"{workdir.path}-tuned")
        tune = program("training.main")
        words = f"--recipe=finetune_small --data=folder:DIR --weights={place}"
        return (("fine-tune", f"{tune} {words} --workdir={tuned}"),)
    if task in ("segmentation", "detection"):
        # Their answers are files, and only a classifier's are explained.
        return (("predict", f"{ask} --model={place} --out={seen} IMAGE..."), export)
    return (
        ("predict", f"{ask} --model={place} IMAGE..."),
        ("explain", f"{explain} --model={place} --out={seen} IMAGE..."),
        export,
    )


def train_on(
    workdir: Workdir, stored: Mapping[str, Any], changes: Sequence[str]
) -> str:
    """Returns the command that trains a finished run's model further.

    Args:
        workdir: The run's.
        stored: What its `recipe.json` holds.
        changes: What `--set` has to say beside the name of the recipe.
    """
    words = [
        f"--recipe={stored.get('name')}",
        f"--data={stored.get('data')}",
        f"--weights={workdir.path}",
        f"--workdir={workdir.path}-2",
        *(f"--set={change}" for change in changes),
    ]
    return " ".join([program("training.main"), *map(shlex.quote, words)])


def program(module: str) -> str:
    """Returns the words that run a command in the shell that this one was run from.

    Args:
        module: As in a checkout, "training.predict_main".
    """
    python = Path(sys.executable)
    if IS_INSTALLED:
        return called(python.with_name(INSTALLED[module]))
    return f"{called(python)} -m {module}"


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
