"""How the commands speak: quietly, and one line for every mistake."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import platform
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO

EXIT_MISTAKE = 2
# 128 + SIGINT and SIGPIPE, as shells report them.
EXIT_INTERRUPTED = 130
EXIT_READER_LEFT = 141


class Mistake(Exception):
    """Something that the person at the keyboard can put right.

    Its text says in one line what was wanted, what came, and what to do.
    """


class Interrupted(Exception):
    """The run was asked to stop and did, with everything saved.

    Attributes:
        exit_code: 128 plus the signal's number.
    """

    def __init__(self, message: str, exit_code: int = EXIT_INTERRUPTED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def guard(
    command: str,
    body: Callable[[], int],
    mistakes: tuple[type[Exception], ...] = (),
) -> int:
    """Runs a command and turns mistakes into a line on stderr and an exit code.

    Args:
        command: What the command is called in messages.
        body: The command; returns its exit code.
        mistakes: Further kinds of exception that are the person's to put right.

    Returns:
        What `body` returned; 2 after a mistake, 128 + signal after a stop, and as
        after SIGPIPE where whoever read the output has left (`| head`).
        Anything else is a defect of the program and is raised as it is.
    """
    for stream in (sys.stdout, sys.stderr):
        # A letter that the terminal lacks is no reason to stop.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _say_mistakes(command, body, (Mistake, *mistakes))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # At its end Python would write once more to whoever has left, and complain.
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        return EXIT_READER_LEFT


def _say_mistakes(
    command: str, body: Callable[[], int], mistakes: tuple[type[Exception], ...]
) -> int:
    try:
        return body()
    except mistakes as mistake:
        print(f"{command}: error: {mistake}", file=sys.stderr)
        return EXIT_MISTAKE
    except Interrupted as stop:
        print(f"\n{command}: {stop}", file=sys.stderr)
        return stop.exit_code
    except KeyboardInterrupt:
        print(
            f"\n{command}: interrupted before there was anything to save.",
            file=sys.stderr,
        )
        return EXIT_INTERRUPTED


def checked(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Calls a function whose ValueErrors are mistakes of the person's.

    Raises:
        Mistake: The function raised a ValueError.
    """
    try:
        return function(*arguments, **named)
    except ValueError as error:
        raise Mistake(str(error)) from error


def require(options: Any, names: Sequence[str]) -> None:
    """Makes sure that flags were given.

    Args:
        options: The command's `absl.flags.FlagValues`, parsed.
        names: Flags that have no default.

    Raises:
        Mistake: Some were not; all of them are named.
    """
    missing = [f"--{name}" for name in names if not options[name].value]
    if missing:
        raise Mistake(f"{' and '.join(missing)} must be given; --help shows how")
    for name in names:
        value = str(options[name].value)
        if legible(value) != value:
            raise Mistake(f"--{name}={legible(value)} is not UTF-8; rename it")


def no_more_arguments(arguments: Sequence[str]) -> None:
    """Makes sure that nothing but flags was given.

    Args:
        arguments: The program's name and what is left when flags are taken away.

    Raises:
        Mistake: Something is left.
    """
    if arguments[1:]:
        raise Mistake(
            f"{arguments[1]!r} is no flag; flags look like --data=digits (--help)"
        )


def asks_for_help(argv: Sequence[str]) -> bool:
    """Returns whether the arguments ask what the command does."""
    return any(word in ("--help", "-h", "-help", "--helpfull") for word in argv[1:])


def legible(name: object) -> str:
    """Returns a file's name as text that can be printed; it may not be UTF-8."""
    return os.fsencode(str(name)).decode("utf-8", "backslashreplace")


def say(text: str) -> None:
    """Prints a line on stdout at once, also where stdout is a file."""
    print(text, flush=True)


def import_tensorflow() -> None:
    """Loads TensorFlow without the lines that its libraries print on the way.

    Several of them come before any log level applies, so stderr itself is put
    aside; if loading fails, what was printed is shown after all. A person who
    has set TF_CPP_MIN_LOG_LEVEL to 0 gets every line.

    Raises:
        Mistake: Keras is set to another backend.
    """
    chosen = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if chosen != "tensorflow":
        raise Mistake(
            f"training runs on Keras' TensorFlow backend; KERAS_BACKEND is {chosen!r}. "
            "Unset it or set it to tensorflow."
        )
    if platform.machine() in ("x86_64", "AMD64"):
        # As keras_convnext/quiet_start.py, which says why and cannot be asked: it
        # comes with Keras.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    quiet = level != "0"
    with held_stderr() if quiet else contextlib.nullcontext():
        import tensorflow as tf
    from absl import logging

    logging.set_verbosity(logging.ERROR)
    tf.get_logger().setLevel("ERROR")


def import_jax() -> None:
    """Loads JAX as quietly as TensorFlow, whose log level its libraries heed.

    Raises:
        Mistake: It is not installed.
    """
    if importlib.util.find_spec("jax") is None:
        raise Mistake(
            "KERAS_BACKEND is 'jax' and JAX is not installed; install it "
            "(pip install 'keras-convnext[jax]') or unset KERAS_BACKEND"
        )
    level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with held_stderr() if level != "0" else contextlib.nullcontext():
        import jax  # noqa: F401

        # Where it is installed Keras would load it later, with a line or two.
        with contextlib.suppress(ImportError):
            import tensorflow  # noqa: F401
    from absl import logging

    logging.set_verbosity(logging.ERROR)


@contextlib.contextmanager
def said_warnings(speaks: bool = True) -> Iterator[None]:
    """Says what the library warns of as lines on stdout; Python names a source line.

    Args:
        speaks: Whether this process is the one that speaks.
    """
    said: set[str] = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        if speaks and str(message) not in said:
            said.add(str(message))
            say(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield


@contextlib.contextmanager
def held_stderr() -> Iterator[TextIO]:
    """Keeps what is written to stderr, natively too; shows it only on an error.

    Yields:
        The real stderr, for what a person is to see all the same.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        real = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            with os.fdopen(os.dup(real), "w") as shown:
                yield shown
        except BaseException:
            sys.stderr.flush()
            held.seek(0)
            os.write(real, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(real, 2)
            os.close(real)


def held_bytes() -> int:
    """Returns how much `held_stderr` holds; what grows it names no file."""
    return os.fstat(2).st_size


def help_text(summary: str, options: Any) -> str:
    """Returns what `--help` prints.

    Args:
        summary: What the command does, with an example.
        options: The command's `absl.flags.FlagValues`.
    """
    if __package__ != "training":
        from keras_convnext.commands import name_installed

        summary = name_installed(summary)
    lines = [summary, "", "Flags:"]
    for name in options:
        flag = options[name]
        # absl adds lines of its own to the help of flags that may be repeated.
        text = flag.help.partition("\n")[0].rstrip(";")
        default = "" if flag.default in (None, False, []) else f" [{flag.default}]"
        lines.append(f"  --{name:<16} {text}{default}")
    return "\n".join(lines)
