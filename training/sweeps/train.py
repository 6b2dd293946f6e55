"""Trains planned runs one after the other, each as a process of its own."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from keras_convnext._messages import CommandError, Interrupted, say

from .plan import PlannedRun

_ERROR = "train: error: "
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Linux sends a process SIGTERM when its parent is gone, if it asks for that (1 is
# PR_SET_PDEATHSIG): a run of a killed sweep saves itself and ends, so that the same
# command does not start it a second time beside itself.
_ENDS_WITH_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def train_all(
    planned: Sequence[PlannedRun], arguments: Sequence[str]
) -> dict[str, str]:
    """Trains all runs that are not finished, and returns why some failed.

    Args:
        planned: The runs.
        arguments: For `training.main`, the same for all of them.

    Returns:
        The last line of each failed run by its name.

    Raises:
        Interrupted: Somebody asked to stop; the run of the moment has saved itself.
    """
    problems = {}
    for number, run in enumerate(planned, start=1):
        place = f"{number}/{len(planned)} {run.name}"
        if run.workdir.finished() is not None:
            say(f"{place}: is finished")
            continue
        say(f"{place}: started, see {run.log}")
        changes = [f"--set={change}" for change in run.changes]
        workdir = f"--workdir={run.workdir.path}"
        code = run_command("main", [*arguments, *changes, workdir], run.log)
        if code:
            said = last_line(run.log).removeprefix(_ERROR)
            problems[run.name] = said or f"exit code {code}"
            say(f"{place}: failed: {problems[run.name]}")
    return problems


def require_success(problems: Mapping[str, str], runs: int) -> None:
    """Ends a command with a line where runs failed; all else is done by then.

    Raises:
        CommandError: Some did.
    """
    if problems:
        named = ", ".join(problems)
        raise CommandError(
            f"{len(problems)} of {runs} runs failed: {named}; the same command tries "
            "them again"
        )


def run_command(command: str, arguments: Sequence[str], log: Path) -> int:
    """Runs a command of this application, and returns its exit code.

    Args:
        command: Its module, "main" or "embed_main".
        arguments: Its flags.
        log: What it prints is added to this file.

    Raises:
        Interrupted: Ctrl-C or SIGTERM came; the command got it, too, and has ended.
    """
    application = (__package__ or "").rpartition(".")[0]
    program = ["-m", f"{application}.{command}", *arguments]
    before = ["-c", _ENDS_WITH_PARENT] if sys.platform == "linux" else []
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, *before, *program],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            # Ctrl-C in the terminal is passed on here, once.
            process_group=0,
        )
        with _passed_on(process) as came:
            code = process.wait()
    if came:
        raise Interrupted("stopped; the same command goes on from here", 128 + came[0])
    return code


@contextlib.contextmanager
def _passed_on(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Passes Ctrl-C and SIGTERM on to a process; yields the signals that came."""
    came: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        came.append(number)
        process.send_signal(number)

    earlier = {number: signal.signal(number, pass_on) for number in _SIGNALS}
    try:
        yield came
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def last_line(log: Path) -> str:
    """Returns the last line of a log that says anything."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
