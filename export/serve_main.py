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

from keras_convnext import _cli
from keras_convnext._messages import UsageError

from . import version_folders

COMMAND = "serve"
SUMMARY = """Serves exported models as TensorFlow Serving does, for laptops and tests.

  python -m export.serve_main --model_dir=runs/demo/export

answers http://127.0.0.1:8501/v1/models/default:predict, gRPC at port 8500, and shows a
page to try an image at http://127.0.0.1:8501/. Ctrl-C ends it."""
# What `keras-convnext-export --out=DIR` calls the folder of versions in DIR.
_VERSIONS = "saved_model"
# And its page for the browser, by what makes such a folder one.
_WEB, _WEB_PAGE = "web", "index.html"
_MOST_PORT = 2**16 - 1
_OTHER_NAMES = {
    "model_base_path": "model_dir",
    "file_system_poll_wait_seconds": "poll_seconds",
}


def options() -> _cli.FlagValues:
    """Returns the command's flags."""
    flags = _cli.Flags()
    flags.text(
        "model_dir", None, "an export's folder, or one with versions 1, 2, ... in it"
    )
    flags.text("model_name", "default", "the model's name for clients")
    flags.text(
        "model_config_file", None, "several models: TensorFlow Serving's model.config"
    )
    flags.number(
        "model_config_file_poll_wait_seconds",
        0,
        "how often to reread that file; 0 for never",
    )
    flags.text(
        "host",
        "127.0.0.1",
        "address to listen on; 0.0.0.0 or :: for all",
    )
    flags.integer("rest_api_port", 8501, "HTTP; 0 for none", most=_MOST_PORT)
    flags.integer("port", 8500, "gRPC; 0 for none", most=_MOST_PORT)
    flags.integer("max_batch_size", 32, "images computed together, and in a request", 1)
    flags.integer(
        "batch_timeout_micros",
        0,
        "how long a request waits for others to share its batch",
    )
    flags.integer(
        "max_enqueued_batches", 100, "waiting batches before requests are refused", 1
    )
    flags.integer("num_batch_threads", 2, "batches computed at the same time", 1)
    flags.text(
        "batching_parameters_file", None, "the last four from TensorFlow Serving's file"
    )
    flags.integer("max_request_bytes", 64 * 2**20, "larger requests are refused", 1)
    flags.integer("max_requests", 64, "requests worked on at once, of each protocol", 1)
    flags.number(
        "request_timeout_seconds", 30, "for a request to arrive; for its answer"
    )
    flags.number("poll_seconds", 1, "how often to look for new versions; 0 for never")
    flags.switch(
        "rest_api_enable_cors_support",
        False,
        "let web pages of other sites read the responses",
    )
    flags.number("drain_seconds", 30, "time for open requests after SIGTERM")
    # What TensorFlow Serving calls them.
    for name, original in _OTHER_NAMES.items():
        flags.alias(name, original)
    return flags.values


def _serve(values: _cli.FlagValues) -> int:
    if bool(values.model_dir) == bool(values.model_config_file):
        raise UsageError(
            "one of --model_dir and --model_config_file must be given; --help shows how"
        )
    if not values.model_name:
        raise UsageError(
            "--model_name is empty; clients have to call the model something"
        )
    if not values.rest_api_port and not values.port:
        raise UsageError("--rest_api_port=0 and --port=0 leave nothing to listen at")
    folder, web = None, None
    if values.model_dir:
        folder, web = _folders(values.model_dir)
    _cli.import_tensorflow()
    from keras_convnext.decoder_lines import report_decoder_lines

    try:
        from .server import app, errors
    except ModuleNotFoundError as missing:
        raise UsageError(
            f"serving needs {missing.name}: pip install 'keras-convnext[serve]'"
        ) from None
    try:
        settings = _settings(values, folder, web)
        server = app.Server(settings, _say)
    except errors.Refusal as refusal:
        raise UsageError(str(refusal)) from None
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
        if settings.web:
            _say(f"http://{place}/web/ for browsers that compute themselves")
    if settings.grpc_port:
        _say(f"{app.address(settings.host, settings.grpc_port)} for gRPC")
    _say("ready")
    told_to_stop.recv(1)
    _say("stopping: no new requests are taken")
    taken, answered = server.stop()
    _say(f"answered {answered} of {taken} requests")
    return 0 if answered == taken else _cli.EXIT_FAILED


def _told_to_stop() -> socket.socket:
    """Returns a file that becomes readable after SIGTERM or Ctrl-C.

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


def _folders(given: str) -> tuple[Path | None, Path | None]:
    """Returns the folder that holds a subfolder a version, and the one for browsers.

    Args:
        given: The first, or the folder that an export wrote, where both lie.

    Returns:
        `None` for the one that is not there.

    Raises:
        UsageError: Neither is there.
    """
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise UsageError(f"--model_dir: there is no folder {folder}")

    above = folder.parent if folder.name == _VERSIONS else folder
    web = above / _WEB if (above / _WEB / _WEB_PAGE).is_file() else None
    for place in (folder, folder / _VERSIONS):
        if version_folders.find(place):
            return place, web
    if web:
        return None, web
    if (folder / "saved_model.pb").is_file():
        raise UsageError(
            f"--model_dir: {folder} is a single version; name the folder above it, "
            "in which versions are called 1, 2, ..."
        )
    raise UsageError(
        f"--model_dir: {folder} has no version in it (a folder called 1, 2, ...); the "
        "export command writes one with --format=saved_model"
    )


def _settings(values: Any, folder: Path | None, web: Path | None) -> Any:
    """Returns how the server is run, as the flags say."""
    from .server import batching_file, model_config
    from .server.app import Settings
    from .server.batching import Parameters
    from .server.limits import Limits
    from .server.versions import ModelConfig

    read_models = None
    if values.model_dir:
        models = [ModelConfig(values.model_name, folder)] if folder else []
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
        may_reload=bool(values.model_config_file),
        cors=values.rest_api_enable_cors_support,
        web=web,
        batching=batching,
        limits=Limits(
            max_request_bytes=values.max_request_bytes,
            max_bytes=4 * values.max_request_bytes,
            max_requests=values.max_requests,
            header_seconds=min(10.0, values.request_timeout_seconds),
            body_seconds=values.request_timeout_seconds,
        ),
    )


command = _cli.Command(COMMAND, SUMMARY, options, _serve)
main = command.main


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
