"""One line for a mistake, the right exit code, and silence otherwise."""

import importlib.util
import os
import platform
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from absl import flags

from keras_convnext import _cli, _startup
from keras_convnext._command_names import name_installed
from keras_convnext._messages import (
    CommandError,
    Interrupted,
    UsageError,
    warnings_as_lines,
)
from keras_convnext._stderr import hold_stderr

ROOT = Path(__file__).parents[2]
# Where oneDNN is on by default.
IS_X86 = platform.machine() in ("x86_64", "AMD64")


def run_as_command(tmp_path, program, **environment):
    """Runs a program as one of the installed commands is run."""
    script = tmp_path / "keras-convnext-something"
    script.write_text(program)
    kept = {name: value for name, value in os.environ.items() if name[:3] != "TF_"}
    return subprocess.run(
        [sys.executable, script],
        capture_output=True,
        check=True,
        text=True,
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
    )


def raising(error):
    def body():
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UsageError("no such thing"), 2, "train: error: no such thing"),
        (flags.Error("bad flag"), 2, "train: error: bad flag"),
        (CommandError("it failed"), 1, "train: error: it failed"),
        (Interrupted("stopped", 143), 143, "train: stopped"),
        (KeyboardInterrupt(), 130, "train: interrupted; nothing"),
    ],
)
def test_mistakes_and_stops_are_a_line_and_an_exit_code(capsys, error, code, line):
    assert _cli.guard("train", raising(error)) == code
    stdout, stderr = capsys.readouterr()
    assert stderr.strip().startswith(line)
    assert stderr.strip().count("\n") == 0
    assert stdout == ""


def test_a_defect_of_the_program_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        _cli.guard("train", raising(ZeroDivisionError()))


def test_success_keeps_its_exit_code():
    assert _cli.guard("train", lambda: 0) == 0


def test_native_stderr_is_buffered_and_shown_on_an_error(capfd):
    with hold_stderr():
        os.write(2, b"noise")
    assert capfd.readouterr().err == ""

    def fail():
        with hold_stderr():
            os.write(2, b"the reason")
            raise ImportError

    with pytest.raises(ImportError):
        fail()
    assert capfd.readouterr().err == "the reason"


def test_another_backend_is_a_mistake(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(UsageError, match="KERAS_BACKEND is 'jax'"):
        _cli.import_tensorflow()


def test_jax_that_is_not_there_is_a_mistake(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="JAX is not installed"):
        _cli.import_jax()


@pytest.mark.parametrize(
    ("program", "is_command"),
    [
        (ROOT / "training" / "main.py", True),
        (ROOT / "export" / "serve_main.py", True),
        (ROOT / "keras_convnext" / "training" / "main.py", True),
        ("/usr/bin/keras-convnext-train", True),
        ("C:/bin/keras-convnext-train.exe/__main__.py", True),
        (ROOT / "training" / "engine" / "step.py", False),
        ("/somewhere/training/main.py", False),
        ("/somewhere/train.py", False),
        ("", False),
    ],
)
def test_the_commands_are_known_by_their_files(program, is_command):
    assert _startup.is_command(str(program)) is is_command


def test_a_command_loads_keras_when_it_says_so_and_nothing_is_lost(tmp_path):
    program = """
import sys
import keras_convnext
from keras_convnext import _cli
assert not {"keras", "tensorflow"} & set(sys.modules)
print(keras_convnext.__version__)
_cli.import_tensorflow()
from keras_convnext import _public
import keras
missing = [name for name in _public.__all__ if not hasattr(keras_convnext, name)]
registered = keras.saving.get_registered_object("keras_convnext>LayerScale")
print(missing, registered is keras_convnext.layers.LayerScale)
from tensorflow.python.util import _pywrap_util_port
print(_pywrap_util_port.IsMklEnabled())
"""
    done = run_as_command(tmp_path, program)
    version, others, fast_kernels = done.stdout.splitlines()
    assert (version, others, done.stderr) == (_version(), "[] True", "")
    assert fast_kernels == str(IS_X86)


def test_a_module_of_the_library_may_be_the_first_of_a_command(tmp_path):
    # Which modules load which is another order then.
    program = """
from keras_convnext.detection import checkpoints
import keras_convnext
print(checkpoints.COCO_CLASSES, keras_convnext.layers.LayerScale.__name__)
"""
    done = run_as_command(tmp_path, program)
    assert done.stdout == "80 LayerScale\n"


def _version():
    text = (ROOT / "keras_convnext" / "__init__.py").read_text("utf-8")
    return text.partition('__version__ = "')[2].partition('"')[0]


@pytest.mark.slow
def test_jax_loads_without_a_word(tmp_path):
    program = "from keras_convnext import _cli; _cli.import_jax()"
    done = run_as_command(tmp_path, program, KERAS_BACKEND="jax")
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.skipif(not IS_X86, reason="oneDNN's default is x86's")
def test_fast_kernels_are_off_where_they_were_turned_off(tmp_path):
    program = (
        "from keras_convnext import _cli; _cli.import_tensorflow(); "
        "from tensorflow.python.util import _pywrap_util_port; "
        "print(_pywrap_util_port.IsMklEnabled())"
    )
    done = run_as_command(tmp_path, program, TF_ENABLE_ONEDNN_OPTS="0")
    assert done.stdout == "False\n"


def options():
    flags = _cli.Flags()
    flags.text("data", None, "what to read")
    flags.integer("batch", 64, "images at a time", 1)
    flags.number("poll_seconds", 1, "how often")
    flags.switch("any_size", False, "leave the size open")
    flags.texts("set", "field=value; repeatable")
    return flags.values


COMMAND = _cli.Command(
    "serve",
    "Serves.",
    options,
    raising(ZeroDivisionError()),
    required=("data",),
    suggest=lambda values, name, value: f"--{name}a={value}",
)


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--batch=2"], "--data must be given"),
        (["--data=x", "name"], "unrecognized argument 'name'"),
        (["--data=x", "--batch=0"], "flag --batch=0: 0 is not a positive integer"),
        (["--data=x", "--dat=y", "--size=3"], "there is no flag --dat; give --data=y"),
        (["--data=x\udcff"], "is not UTF-8"),
    ],
)
def test_flags_that_are_wrong_are_a_line(capsys, argv, line):
    assert COMMAND.main(["serve", *argv]) == 2
    stdout, stderr = capsys.readouterr()
    assert stderr.startswith("serve: error: ")
    assert line in stderr
    assert stderr.count("\n") == 1
    assert stdout == ""


def test_help_says_what_must_be_given_and_what_is_taken_else(capsys):
    assert COMMAND.main(["serve", "-h"]) == 0
    assert (
        capsys.readouterr().out
        == """Serves.

Flags:
  --data          what to read (required)
  --batch         images at a time [64]
  --poll_seconds  how often [1]
  --any_size      leave the size open [false]
  --set           field=value; repeatable
"""
    )


def test_what_the_library_warns_of_is_said_once_and_not_on_stderr(capfd):
    with warnings_as_lines():
        for _ in range(2):
            warnings.warn("the classifier stays as it was built", stacklevel=1)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    stdout, stderr = capfd.readouterr()
    assert stdout == "the classifier stays as it was built\n"
    assert stderr == ""


LOUD = """
import sys
from keras_convnext import _cli

def body():
    for number in range(100_000):
        print("line", number)
    return 0

sys.exit(_cli.guard("loud", body))
"""


def test_a_command_ends_quietly_when_its_reader_has_enough(tmp_path):
    script = tmp_path / "keras-convnext-loud"
    script.write_text(LOUD)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, script]
    with subprocess.Popen(command, stdout=-1, stderr=-1, env=environment) as running:
        assert running.stdout.readline() == b"line 0\n"
        running.stdout.close()
        assert running.stderr.read() == b""
    # 128 + SIGPIPE, as of a program that heeds the signal.
    assert running.returncode == 141


def test_an_installed_command_tells_the_installed_commands():
    text = """
  python -m training.main --recipe=demo
  python -m export.main --model=runs/demo
  python -m training.roadmap_main --data=digits"""
    assert (
        name_installed(text)
        == """
  keras-convnext-train --recipe=demo
  keras-convnext-export --model=runs/demo
  python -m keras_convnext.training.roadmap_main --data=digits"""
    )
