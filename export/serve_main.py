"""`python -m export.serve_main`: a small server with TensorFlow Serving's interface."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from absl import flags

from . import console, version_folders
from .console import EXIT_FAILED, Mistake

COMMAND = "serve"
SUMMARY = """Serves exported models as TensorFlow Serving does, for laptops and tests.

  python -m export.serve_main --model_dir=runs/demo/export

answers http://127.0.0.1:8501/v1/models/default:predict, gRPC at port 8500, and shows a
page to try a picture at http://127.0.0.1:8501/. Ctrl-C ends it."""
# What `keras-convnext-export --out=DIR` calls the folder of versions in DIR.
_VERSIONS = "saved_model"
_MOST_PORT = 2**16 - 1
_OTHER_NAMES = {
    "model_base_path": "model_dir",
    "file_system_poll_wait_seconds": "poll_seconds",
}


def options() -> flags.FlagValues:
    """Returns the command's flags."""
    values = flags.FlagValues()

    def text(name: str, default: str | None, what: str) -> None:
        shown = f"{what} [{default}]" if default else what
        flags.DEFINE_string(name, default, shown, flag_values=values)

    def whole(
        name: str, default: int, what: str, least: int = 0, most: int | None = None
    ) -> None:
        flags.DEFINE_integer(
            name,
            default,
            f"{what} [{default}]",
            lower_bound=least,
            upper_bound=most,
            flag_values=values,
        )

    def number(name: str, default: float, what: str) -> None:
        flags.DEFINE_float(
            name, default, f"{what} [{default:g}]", lower_bound=0, flag_values=values
        )

    text("model_dir", None, "an export's folder, or one with versions 1, 2, ... in it")
    text("model_name", "default", "what clients call the model")
    text("model_config_file", None, "several models: TensorFlow Serving's model.config")
    number(
        "model_config_file_poll_wait_seconds",
        0,
        "how often that file is read again; 0 for never",
    )
    text(
        "host",
        "127.0.0.1",
        "address to listen at; 0.0.0.0 or :: for all of this machine",
    )
    whole("rest_api_port", 8501, "HTTP; 0 for none", most=_MOST_PORT)
    whole("port", 8500, "gRPC; 0 for none", most=_MOST_PORT)
    whole("max_batch_size", 32, "pictures computed together, and in a request", 1)
    whole("batch_timeout_micros", 0, "how long a request waits for company")
    whole(
        "max_enqueued_batches", 100, "batches that wait before requests are refused", 1
    )
    whole("num_batch_threads", 2, "batches computed at the same time", 1)
    text(
        "batching_parameters_file", None, "the last four from TensorFlow Serving's file"
    )
    whole("max_request_bytes", 64 * 2**20, "larger requests are refused", 1)
    whole("max_requests", 64, "requests worked on at once, of each protocol", 1)
    number("request_timeout_seconds", 30, "for a request to arrive; for its answer")
    number("poll_seconds", 1, "how often new versions are looked for; 0 for never")
    flags.DEFINE_boolean(
        "rest_api_enable_cors_support",
        False,
        "web pages from elsewhere may read the answers [false]",
        flag_values=values,
    )
    number("drain_seconds", 30, "how long requests may still take after SIGTERM")
    # What TensorFlow Serving calls them.
    for name, original in _OTHER_NAMES.items():
        flags.DEFINE_alias(name, original, flag_values=values)
    return values


def main(argv: list[str]) -> int:
    """Runs the command.

    Args:
        argv: The program's name and its arguments.

    Returns:
        The exit code: 0 after every request was answered, 1 where a model cannot be
        loaded or a request was left, 2 after a mistake of the caller's.
    """
    return console.run_command(COMMAND, lambda: _serve(argv), flags.Error)


def _serve(argv: list[str]) -> int:
    values = options()
    if {"--help", "-h", "-help"} & set(argv[1:]):
        print(console.help_text(SUMMARY, values))
        return 0
    left = values(argv)[1:]
    if left:
        raise Mistake(
            f"{left[0]!r} is no flag; flags look like --model_dir=DIR (--help)"
        )
    if bool(values.model_dir) == bool(values.model_config_file):
        raise Mistake(
            "one of --model_dir and --model_config_file must be given; --help shows how"
        )
    if not values.model_name:
        raise Mistake("--model_name is empty; clients have to call the model something")
    if not values.rest_api_port and not values.port:
        raise Mistake("--rest_api_port=0 and --port=0 leave nothing to listen at")
    folder = _versions_folder(values.model_dir) if values.model_dir else None
    console.quiet_libraries()
    from keras_convnext.decoder_lines import report_decoder_lines

    try:
        from .server import app, errors
    except ModuleNotFoundError as missing:
        raise Mistake(
            f"serving needs {missing.name}: pip install 'keras-convnext[serve]'"
        ) from None
    try:
        settings = _settings(values, folder)
        server = app.Server(settings, _say)
    except errors.Refusal as refusal:
        raise Mistake(str(refusal)) from None
    # Until here a signal ends the process: nobody waits for an answer yet.
    told_to_stop = _told_to_stop()
    with report_decoder_lines(COMMAND):
        return _answer_until(told_to_stop, server, settings)


def _answer_until(told_to_stop: socket.socket, server: Any, settings: Any) -> int:
    from .server import app

    server.start()
    if settings.rest_port:
        place = app.address(settings.host, settings.rest_port)
        _say(f"http://{place}/ for people and REST")
    if settings.grpc_port:
        _say(f"{app.address(settings.host, settings.grpc_port)} for gRPC")
    _say("ready")
    told_to_stop.recv(1)
    _say("stopping: no new requests are taken")
    taken, answered = server.stop()
    _say(f"answered {answered} of {taken} requests")
    return 0 if answered == taken else EXIT_FAILED


def _told_to_stop() -> socket.socket:
    """Returns what can be read as soon as there was a SIGTERM or a Ctrl-C.

    From here on such a signal means to stop, not to die. Python's own handlers run in
    the main thread alone, which does not wake up where the system gave the signal to
    another thread, and may hold the lock that an event's `set` takes; the byte is
    written by whichever thread got the signal, without Python.
    """
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    signal.set_wakeup_fd(writing.detach(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return reading


def _say(line: str) -> None:
    # Whoever started it may have stopped reading; requests are answered all the same.
    with contextlib.suppress(OSError):
        print(f"{COMMAND}: {line}", flush=True)


def _versions_folder(given: str) -> Path:
    """Returns the folder that holds a subfolder a version.

    Args:
        given: That folder, or the one that an export wrote.

    Raises:
        Mistake: There is no version.
    """
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise Mistake(f"--model_dir: there is no folder {folder}")

    for place in (folder, folder / _VERSIONS):
        if version_folders.find(place):
            return place
    if (folder / "saved_model.pb").is_file():
        raise Mistake(
            f"--model_dir: {folder} is a single version; name the folder above it, "
            "in which versions are called 1, 2, ..."
        )
    raise Mistake(
        f"--model_dir: {folder} has no version in it (a folder called 1, 2, ...); the "
        "export command writes one with --format=saved_model"
    )


def _settings(values: Any, folder: Path | None) -> Any:
    """Returns how the server is run, as the flags say."""
    from .server import batching_file, model_config
    from .server.app import Settings
    from .server.batching import Parameters
    from .server.limits import Limits
    from .server.versions import ModelConfig

    if folder is not None:
        read_models = None
        models = [ModelConfig(values.model_name, folder)]
    else:
        file = Path(values.model_config_file).expanduser()
        read_models = functools.partial(model_config.read, file)
        models = read_models()
    if values.batching_parameters_file:
        batching = batching_file.read(Path(values.batching_parameters_file))
    else:
        batching = Parameters(
            values.max_batch_size,
            values.batch_timeout_micros,
            values.max_enqueued_batches,
            values.num_batch_threads,
        )
    return Settings(
        models=models,
        read_models=read_models,
        read_seconds=values.model_config_file_poll_wait_seconds if read_models else 0,
        # As an address of the sixth kind stands in a URL, too.
        host=values.host.strip("[]"),
        rest_port=values.rest_api_port,
        grpc_port=values.port,
        poll_seconds=values.poll_seconds,
        timeout_seconds=values.request_timeout_seconds,
        drain_seconds=values.drain_seconds,
        may_reload=folder is None,
        cors=values.rest_api_enable_cors_support,
        batching=batching,
        limits=Limits(
            max_request_bytes=values.max_request_bytes,
            max_bytes=4 * values.max_request_bytes,
            max_requests=values.max_requests,
            header_seconds=min(10.0, values.request_timeout_seconds),
            body_seconds=values.request_timeout_seconds,
        ),
    )


def run() -> None:
    """Runs the command with the process's own arguments."""
    code = main(sys.argv)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    # Not by way of the interpreter's end: it waits for every thread, and one that
    # still computes what nobody waits for any more may take for ever.
    os._exit(code)


if __name__ == "__main__":
    run()
