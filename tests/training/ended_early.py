"""Ends a run by a signal, soon after it has saved something."""

import os
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 600


def end_after_saving(arguments, workdir, number, seconds, environment=None):
    """Starts the run, lets it save something, and sends a signal a little later.

    Args:
        arguments: Of the run's process.
        workdir: The run's.
        number: Of the signal.
        seconds: From what it has saved to the signal.
        environment: The process's; None for this one's.

    Returns:
        The process's exit status.
    """
    checkpoints = workdir / "checkpoints"
    before = set(os.listdir(checkpoints)) if checkpoints.is_dir() else set()
    process = subprocess.Popen(
        arguments,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ends = time.monotonic() + PATIENCE_SECONDS
    # Also names that are still being written count: signals are to hit these too.
    while process.poll() is None and time.monotonic() < ends:
        if checkpoints.is_dir() and set(os.listdir(checkpoints)) - before:
            break
        time.sleep(0.002)
    time.sleep(seconds)
    process.send_signal(number)
    return process.wait(PATIENCE_SECONDS)
