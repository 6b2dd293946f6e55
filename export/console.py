"""How the export commands speak: one line for a mistake, no noise from libraries."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

EXIT_FAILED = 1
EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130
EXIT_READER_LEFT = 141


class Mistake(Exception):
    """Something that the caller can put right, in one line."""


class Failure(Exception):
    """An export that was begun and did not turn out as it must, in one line."""


def run_command(name: str, body: Callable[[], int], flag_error: type[Exception]) -> int:
    """Runs a command's body and returns the command's exit code.

    Args:
        name: What the command is called in its messages.
        body: Does the work and returns an exit code.
        flag_error: What the flag library raises for a mistake of the caller's.

    Returns:
        What `body` returned, 2 after a mistake, 1 after a failure, 130 after Ctrl-C,
        141 where whoever read the output has left (`| head`).
    """
    try:
        code = _say_mistakes(name, body, flag_error)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # At its end Python would write once more to whoever has left, and complain.
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        return EXIT_READER_LEFT


def _say_mistakes(
    name: str, body: Callable[[], int], flag_error: type[Exception]
) -> int:
    try:
        return body()
    except (Mistake, flag_error) as mistake:
        print(f"{name}: {mistake}", file=sys.stderr)
        return EXIT_MISTAKE
    except Failure as failure:
        print(f"{name}: {failure}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted; nothing was left behind", file=sys.stderr)
        return EXIT_INTERRUPTED


def help_text(summary: str, options: Any) -> str:
    """Returns what `--help` prints: the summary and a line for each flag.

    Args:
        summary: What the command does.
        options: The command's `absl.flags.FlagValues`.
    """
    names = list(options)
    width = max(len(name) for name in names)
    flags = (f"  --{name:<{width}}  {options[name].help}" for name in names)
    if __package__ != "export":
        from keras_convnext.commands import name_installed

        summary = name_installed(summary)
    return "\n".join((summary, "", *flags))


def quiet_libraries() -> None:
    """Imports TensorFlow with its log kept for errors, native lines included.

    Raises:
        Mistake: Another Keras backend is chosen.
    """
    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        raise Mistake(
            "exporting needs Keras' TensorFlow backend, but KERAS_BACKEND is "
            f"{backend}: unset it"
        )
    if platform.machine() in ("x86_64", "AMD64"):
        # As keras_convnext/quiet_start.py, which says why and cannot be asked: it
        # comes with Keras.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with native_stderr_held():
        import tensorflow as tf
    from absl import logging

    logging.set_verbosity(logging.ERROR)
    tf.get_logger().setLevel("ERROR")


@contextlib.contextmanager
def native_stderr_held() -> Iterator[None]:
    """Holds back what anything in this process prints to stderr.

    Log levels do not reach the lines that C++ code prints while it starts or
    converts. If the body fails, the lines are shown after all.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            if failed and os.environ["TF_CPP_MIN_LOG_LEVEL"] < "2":
                held.seek(0)
                sys.stderr.write(held.read().decode(errors="replace"))
