"""What every command does alike: flags, help, exit codes, quiet imports.

Commands alone import this module, the only one of the library that knows absl.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import os
import platform
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from absl import app, flags, logging

from keras_convnext import _compiled
from keras_convnext._command_names import IS_INSTALLED, name_installed
from keras_convnext._files import legible, why_no_folder
from keras_convnext._messages import (
    EXIT_INTERRUPTED,
    CommandError,
    Interrupted,
    UsageError,
    note,
)
from keras_convnext._stderr import hold_stderr

EXIT_FAILED = 1
# 128 + SIGPIPE, as shells report it.
EXIT_READER_LEFT = 141
FlagValues: TypeAlias = flags.FlagValues
_HELP = {"--help", "-h", "-help", "--helpfull"}
_OLD_NAME = "an old name of --"
_HELP_COLUMNS, _LEAST_TEXT_COLUMNS = 80, 48
_LOG_LEVEL, _NOTHING, _EVERYTHING = "TF_CPP_MIN_LOG_LEVEL", "3", "0"


class Flags:
    """Defines a command's flags.

    Attributes:
        values: absl's `FlagValues`, which parse them.
    """

    def __init__(self) -> None:
        self.values = FlagValues()

    def text(self, name: str, default: str | None, what: str) -> None:
        """Defines a flag that takes any text."""
        flags.DEFINE_string(name, default, what, flag_values=self.values)

    def texts(self, name: str, what: str) -> None:
        """Defines a flag that takes any text and may be repeated."""
        flags.DEFINE_multi_string(name, [], what, flag_values=self.values)

    def choice(self, name: str, default: str, known: Sequence[str], what: str) -> None:
        """Defines a flag that takes one of some words."""
        flags.DEFINE_enum(name, default, known, what, flag_values=self.values)

    def switch(self, name: str, default: bool, what: str) -> None:
        """Defines a flag that is on or off."""
        flags.DEFINE_bool(name, default, what, flag_values=self.values)

    def integer(
        self,
        name: str,
        default: int | None,
        what: str,
        least: int | None = 0,
        most: int | None = None,
    ) -> None:
        """Defines a flag that takes a whole number from `least` to `most`."""
        flags.DEFINE_integer(name, default, what, least, most, flag_values=self.values)

    def number(
        self,
        name: str,
        default: float | None,
        what: str,
        least: float | None = 0,
        most: float | None = None,
    ) -> None:
        """Defines a flag that takes a number from `least` to `most`."""
        flags.DEFINE_float(name, default, what, least, most, flag_values=self.values)

    def alias(self, name: str, original: str) -> None:
        """Defines another name of a flag."""
        flags.DEFINE_alias(name, original, flag_values=self.values)

    def renamed(self, old: str, new: str) -> None:
        """Defines the old name of a flag, which ends with version 0.3."""
        flags.DEFINE_alias(old, new, flag_values=self.values)
        self.values[old].help = f"{_OLD_NAME}{new}"

    def model(self, outputs: str = "logits, probabilities, sigmoid or number") -> None:
        """Defines the flags that name a model and say what its file leaves open."""
        normalizations = "imagenet, unit, symmetric or none"
        self.text("model", None, "a file, a workdir or a published checkpoint")
        self.text("output", None, f"if unknown: {outputs}")
        self.text("normalization", None, f"if unknown: {normalizations}")

    def data(self, when: str = "") -> None:
        """Defines the flag that names the data; its help lists every form.

        Args:
            when: Said after the forms.
        """
        forms = (
            "digits, folder:PATH, files:LIST.csv, array:FILE.npz, tfrecord:FILES, "
            "array_record:FILES, class_tars:PATH or a data set of tensorflow-datasets; "
            "of masks: masks:DIR; of objects: coco:JSON:DIR"
        )
        self.text("data", None, f"{forms}{when}")

    def recipe(
        self, what: str = "name of a recipe", default: str | None = None
    ) -> None:
        """Defines the flags that name a recipe and change it."""
        self.text("recipe", default, what)
        self.texts("set", "FIELD=VALUE: changes the recipe; may be repeated")

    def several_runs(self) -> None:
        """Defines the flags that say what runs of one recipe have in common."""
        self.recipe("a recipe's name")
        self.data()
        self.text("workdir", None, "folder for the runs and what comes of them")
        self.text("weights", None, "as in training")
        self.text("devices", "all", "as in training")
        self.skip_bad_images()

    def run_split(self) -> None:
        """Defines the flags that say otherwise than the run how its data were split."""
        self.number(
            "validation_share",
            None,
            "fraction, if the data has no split [the run's, or 0.2]",
            most=1.0,
        )
        self.integer("seed", None, "of that split [the run's, or 0]", least=None)

    def skip_bad_images(self) -> None:
        """Defines the flag that lets damaged images pass."""
        self.switch("skip_bad_images", False, "skip unreadable images and list them")


@dataclass(frozen=True)
class Command:
    """A command: what it takes, and what it does.

    Attributes:
        name: What it is called in messages.
        summary: What it does, with an example: the head of `--help`.
        options: Returns its flags.
        body: Does the work; takes the parsed flags, and the names where there are any.
        required: Flags that must be given.
        takes_names: Whether words that are not flags mean something.
        suggest: Says what was meant by an unknown flag and its value; None if unknown.
    """

    name: str
    summary: str
    options: Callable[[], FlagValues]
    body: Callable[..., int]
    required: tuple[str, ...] = ()
    takes_names: bool = False
    suggest: Callable[[FlagValues, str, str], str | None] | None = None

    def main(self, argv: list[str]) -> int:
        """Parses the flags, runs the body, and says mistakes in one line.

        Args:
            argv: The program's name and its arguments.

        Returns:
            What the body returned; 2 after a usage error, 1 after another
            `CommandError`, 128 + signal after a stop, as after SIGPIPE where whoever
            read the output has left (`| head`). Anything else is a defect of the
            program and raised as it is.
        """
        return guard(self.name, lambda: self._run_body(argv))

    def run(self) -> None:
        """Runs the command with the process's own arguments, and exits."""
        # absl's own flags stay untouched: `main` parses the command's.
        app.run(
            self.main, flags_parser=lambda argv: [*flags.FLAGS(argv[:1]), *argv[1:]]
        )

    def _run_body(self, argv: list[str]) -> int:
        values = self.options()
        if _HELP & set(argv[1:]):
            print(help_text(self.summary, values, self.required))
            return 0
        names = parse(values, argv, self.suggest)
        for flag in values:
            if values[flag].present and values[flag].help.startswith(_OLD_NAME):
                note(self.name, f"--{flag} is {values[flag].help}")
        require(values, self.required)
        if self.takes_names:
            return self.body(values, names)
        if names:
            raise UsageError(
                f"unrecognized argument {names[0]!r}; flags look like --name=value "
                "(--help)"
            )
        return self.body(values)


def guard(name: str, body: Callable[[], int]) -> int:
    """Runs a body; see `Command.main` for what is returned."""
    for stream in (sys.stdout, sys.stderr):
        # A letter that the terminal lacks is no reason to stop.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _report_errors(name, body)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # At its end Python would write once more to whoever has left, and complain.
        for descriptor in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
        return EXIT_READER_LEFT


def _report_errors(name: str, body: Callable[[], int]) -> int:
    try:
        return body()
    except Interrupted as stop:
        print(f"\n{name}: {stop}", file=sys.stderr)
        return stop.exit_code
    except CommandError as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        return error.exit_code
    except flags.Error as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        return UsageError.exit_code
    except KeyboardInterrupt:
        print(
            f"\n{name}: interrupted; nothing half-written was left behind",
            file=sys.stderr,
        )
        return EXIT_INTERRUPTED


def parse(
    values: FlagValues,
    argv: list[str],
    suggest: Callable[[FlagValues, str, str], str | None] | None = None,
) -> list[str]:
    """Parses flags and returns the words that are none.

    Raises:
        UsageError: A flag does not exist, and `suggest` knows what was meant.
    """
    try:
        return list(values(argv))[1:]
    except flags.UnrecognizedFlagError as error:
        flag = str(error.flagname).strip("-")
        value = str(error.flagvalue).partition("=")[2]
        meant = suggest(values, flag, value or "...") if suggest else None
        if meant is None:
            raise
        raise UsageError(f"there is no flag --{flag}; give {meant}") from error


def require(values: FlagValues, names: Sequence[str]) -> None:
    """Makes sure that flags were given.

    Raises:
        UsageError: Some were not; all of them are named.
    """
    missing = [f"--{name}" for name in names if not values[name].value]
    if missing:
        raise UsageError(f"{' and '.join(missing)} must be given; --help shows how")
    for name in names:
        value = str(values[name].value)
        if legible(value) != value:
            raise UsageError(f"--{name}={legible(value)} is not UTF-8; rename it")


def help_text(summary: str, values: FlagValues, required: Sequence[str] = ()) -> str:
    """Returns the text of `--help`: the summary and a line for each flag.

    Args:
        summary: What the command does, with an example.
        values: Its flags.
        required: Flags that must be given.
    """
    if IS_INSTALLED:
        summary = name_installed(summary)
    width = max(map(len, values))
    indent = " " * (width + 6)
    lines = [summary, "", "Flags:"]
    for name in values:
        flag = values[name]
        # absl adds lines of its own to the help of flags that may be repeated.
        text = flag.help.partition("\n")[0].rstrip(";")
        if name in required:
            text += " (required)"
        elif flag.default not in (None, []) and not text.startswith(_OLD_NAME):
            text += f" [{_default_text(flag)}]"
        columns = max(_HELP_COLUMNS - len(indent), _LEAST_TEXT_COLUMNS)
        whole: Any = {"break_long_words": False, "break_on_hyphens": False}
        first, *more = textwrap.wrap(text, columns, **whole)
        lines.append(f"  --{name:<{width}}  {first}")
        lines += [indent + line for line in more]
    return "\n".join(lines)


def _default_text(flag: Any) -> str:
    if isinstance(flag.default, float):
        return f"{flag.default:g}"
    return str(flag.default).lower() if flag.boolean else str(flag.default)


def file_to_write(flag: str, path: str, *endings: str) -> Path:
    """Returns the file that a flag names, before any work is done for it.

    Raises:
        UsageError: Its ending is another, or its folder is not there.
    """
    file = Path(path).expanduser()
    if file.suffix not in endings:
        raise UsageError(f"--{flag}={path} must be a {' or '.join(endings)} file")
    if not file.parent.is_dir():
        reason = why_no_folder(file.parent)
        raise UsageError(f"--{flag}={path}: the folder {file.parent} {reason}")
    return file


@contextlib.contextmanager
def writes_file(flag: str, path: object) -> Iterator[None]:
    """Reports a file that cannot be written as a mistake in the flag that names it.

    Raises:
        UsageError: It cannot be written.
    """
    try:
        yield
    except OSError as error:
        problem = f"--{flag}={path} cannot be written: {error.strerror}"
        raise UsageError(problem) from error


def import_tensorflow() -> None:
    """Loads TensorFlow, Keras and the library without the lines that they print.

    Several of them come before any log level applies, so stderr itself is put aside;
    if loading fails, what was printed is shown after all. A person who has set
    TF_CPP_MIN_LOG_LEVEL to 0 gets every line. Unless the person has decided, oneDNN is
    on, which saves an eighth to a third of the time (docs/performance.md).

    Raises:
        UsageError: Keras is set to another backend.
    """
    chosen = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if chosen != "tensorflow":
        raise UsageError(
            f"this runs on Keras' TensorFlow backend; KERAS_BACKEND is {chosen!r}. "
            "Unset it or set it to tensorflow."
        )
    if platform.machine() in ("x86_64", "AMD64"):
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    _compiled.keep_of_tensorflow()
    _import_quietly("tensorflow")
    importlib.import_module("tensorflow").get_logger().setLevel("ERROR")


def import_jax() -> None:
    """Loads JAX, Keras and the library as quietly as `import_tensorflow`.

    Raises:
        UsageError: JAX is not installed.
    """
    if importlib.util.find_spec("jax") is None:
        raise UsageError(
            "KERAS_BACKEND is 'jax' and JAX is not installed; install it "
            "(pip install 'keras-convnext[jax]') or unset KERAS_BACKEND"
        )
    _import_quietly("jax")


def _import_quietly(backend: str) -> None:
    level = os.environ.setdefault(_LOG_LEVEL, _NOTHING)
    with contextlib.nullcontext() if level == _EVERYTHING else hold_stderr():
        importlib.import_module(backend)
        # Where it is installed Keras loads it later even under JAX, with a line or two.
        with contextlib.suppress(ImportError):
            importlib.import_module("tensorflow")
        importlib.import_module("keras_convnext._public")
    logging.set_verbosity(logging.ERROR)
