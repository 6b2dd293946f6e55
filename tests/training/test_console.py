"""One line for a mistake, the right exit code, and silence otherwise."""

import os
import platform
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from absl import flags

from keras_convnext.commands import name_installed
from training import console
from training.console import Interrupted, Mistake

ROOT = Path(__file__).parents[2]


def raising(error):
    def body():
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (Mistake("no such thing"), 2, "train: error: no such thing"),
        (flags.Error("bad flag"), 2, "train: error: bad flag"),
        (Interrupted("stopped", 143), 143, "train: stopped"),
        (KeyboardInterrupt(), 130, "train: interrupted before"),
    ],
)
def test_mistakes_and_stops_are_a_line_and_an_exit_code(capsys, error, code, line):
    assert console.guard("train", raising(error), (flags.Error,)) == code
    stdout, stderr = capsys.readouterr()
    assert stderr.strip().startswith(line)
    assert stderr.strip().count("\n") == 0
    assert stdout == ""


def test_a_defect_of_the_program_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        console.guard("train", raising(ZeroDivisionError()))


def test_success_keeps_its_exit_code():
    assert console.guard("train", lambda: 0) == 0


def test_native_stderr_is_held_back_and_shown_on_an_error(capfd):
    with console.held_stderr():
        os.write(2, b"noise")
    assert capfd.readouterr().err == ""

    def fail():
        with console.held_stderr():
            os.write(2, b"the reason")
            raise ImportError

    with pytest.raises(ImportError):
        fail()
    assert capfd.readouterr().err == "the reason"


def test_another_backend_is_a_mistake(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(Mistake, match="KERAS_BACKEND is 'jax'"):
        console.import_tensorflow()


def test_jax_that_is_not_there_is_a_mistake(monkeypatch):
    monkeypatch.setattr(console.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Mistake, match="JAX is not installed"):
        console.import_jax()


@pytest.mark.parametrize("load", ["import_tensorflow", "import_jax"])
def test_the_backend_loads_without_a_word(load):
    program = f"from training import console; console.{load}()"
    environment = {**os.environ}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        env=environment,
        check=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert (done.stdout, done.stderr) == (b"", b"")


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="oneDNN's default is x86's"
)
@pytest.mark.parametrize(
    ("load", "chosen"),
    [
        ("training.console.import_tensorflow", None),
        ("training.console.import_tensorflow", "0"),
        ("export.console.quiet_libraries", None),
    ],
)
def test_fast_kernels_are_on_unless_they_were_turned_off(load, chosen):
    program = (
        f"import {load.rpartition('.')[0]}; {load}(); "
        "from tensorflow.python.util import _pywrap_util_port; "
        "print(_pywrap_util_port.IsMklEnabled())"
    )
    environment = {**os.environ}
    environment.pop("TF_ENABLE_ONEDNN_OPTS", None)
    if chosen is not None:
        environment["TF_ENABLE_ONEDNN_OPTS"] = chosen
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        env=environment,
        check=True,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert done.stdout.strip() == str(chosen is None)


def test_what_the_library_warns_of_is_said_once_and_not_on_stderr(capfd):
    with console.said_warnings():
        for _ in range(2):
            warnings.warn("the classifier stays as it was built", stacklevel=1)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    stdout, stderr = capfd.readouterr()
    assert stdout == "the classifier stays as it was built\n"
    assert stderr == ""


LOUD = """
import sys
from {console} import {guard}

def body():
    for number in range(100_000):
        print("line", number)
    return 0

sys.exit({guard}("loud", body{more}))
"""


@pytest.mark.parametrize(
    "names",
    [
        {"console": "training.console", "guard": "guard", "more": ""},
        {"console": "export.console", "guard": "run_command", "more": ", KeyError"},
    ],
    ids=["training", "export"],
)
def test_a_command_ends_quietly_when_its_reader_has_enough(names):
    program = LOUD.format(**names)
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=-1, stderr=-1, cwd=ROOT) as running:
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
