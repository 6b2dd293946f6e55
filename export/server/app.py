"""The whole server: starts in order, and stops without losing a request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import uvicorn
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from keras_convnext._messages import UsageError

from ..export_error import ExportError
from . import servable
from .batching import Batcher, Parameters
from .grpc_service import ModelService, PredictionService
from .header_timeout import make_protocol
from .inference_service import InferenceService
from .limits import Limits
from .metrics import Metrics
from .polling import Poller
from .rest import Rest
from .versions import ModelConfig, Models

_BACKLOG = 2048
# How long clients are still answered, and told to go elsewhere, on open connections.
_DRAIN_SECONDS = 1.0


@dataclass(frozen=True)
class Settings:
    """How a server is run.

    Attributes:
        models: What is served.
        host: The address to listen at.
        rest_port: The port for HTTP; 0 for none.
        grpc_port: The port for gRPC; 0 for none.
        poll_seconds: How often new versions are looked for; 0 for never.
        read_models: Reads again what is to be served; raises `Refusal` where it cannot.
        read_seconds: How often that is done; 0 for never.
        timeout_seconds: The longest that a request may take.
        drain_seconds: The longest that stopping may take.
        may_reload: Whether clients may say which models are served.
        cors: Whether web pages that come from elsewhere may read answers.
        web: A folder for the browser that is served, too.
        batching: How requests are put together.
        limits: What a client may take.
    """

    models: Sequence[ModelConfig]
    host: str = "127.0.0.1"
    rest_port: int = 8501
    grpc_port: int = 8500
    poll_seconds: float = 1.0
    read_models: Callable[[], Sequence[ModelConfig]] | None = None
    read_seconds: float = 0.0
    timeout_seconds: float = 30.0
    drain_seconds: float = 30.0
    may_reload: bool = False
    cors: bool = False
    web: Path | None = None
    batching: Parameters = field(default_factory=Parameters)
    limits: Limits = field(default_factory=Limits)


class _HttpServer:
    """uvicorn in a thread of its own."""

    def __init__(self, rest: Rest, listening: socket.socket, settings: Settings):
        self._rest = rest
        self._socket = listening
        config = uvicorn.Config(
            rest.app,
            http=make_protocol(settings.limits),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=max(1, int(settings.drain_seconds)),
        )
        # Who sends what is no request cannot be told more than the answer says.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self._server = uvicorn.Server(config)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)

    def start(self) -> None:
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.01)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._server.serve(sockets=[self._socket]))

    def start_draining(self) -> None:
        """Takes no new connection, and answers on the open ones a last time."""

        def stop_listening() -> None:
            for server in self._server.servers:
                server.close()

        self._rest.start_draining()
        self._loop.call_soon_threadsafe(stop_listening)

    def stop(self, longest_s: float) -> None:
        """Returns when every request has been answered, or the time is up."""
        self._server.should_exit = True
        self._thread.join(longest_s)
        self._server.force_exit = True


def address(host: str, port: int) -> str:
    """Returns host and port as clients write them: `[::1]:8500`, `localhost:8500`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listen(host: str, port: int, flag: str) -> socket.socket:
    try:
        # What is found first has the zone of an address such as fe80::1%eth0, too.
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, _, _, _, place = found[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(_BACKLOG)
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"cannot listen at {address(host, port)} "
            f"({getattr(error, 'strerror', None) or error}); choose another with "
            f"--host and --{flag}"
        ) from None
    return listening


def _grpc_server(settings: Settings) -> grpc.Server:
    """Returns a server that has its port and has not begun to answer."""
    limits = settings.limits
    server = grpc.server(
        ThreadPoolExecutor(limits.max_requests, "grpc"),
        maximum_concurrent_rpcs=limits.max_requests,
        options=[
            ("grpc.max_receive_message_length", limits.max_request_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
            ("grpc.server_handshake_timeout_ms", int(1e3 * limits.header_seconds)),
        ],
    )
    # Says why there is no listening there; gRPC does not.
    _listen(settings.host, settings.grpc_port, "port").close()
    server.add_insecure_port(address(settings.host, settings.grpc_port))
    return server


class Server:
    """A server: made, it has its ports and its models; started, it answers."""

    def __init__(self, settings: Settings, say: Callable[[str], None]):
        """Takes the ports and loads the models.

        Args:
            settings: How it is run.
            say: Is told what happens, a line at a time.

        Raises:
            ExportError: A model cannot be loaded.
            UsageError: A port is taken.
        """
        self._settings = settings
        self._say = say
        self._grpc: grpc.Server | None = None
        self._listening: socket.socket | None = None
        self._http: _HttpServer | None = None
        self._pollers: list[Poller] = []
        with contextlib.ExitStack() as undo:
            # Both before the models are loaded: that takes longer.
            if settings.rest_port:
                self._listening = _listen(
                    settings.host, settings.rest_port, "rest_api_port"
                )
                undo.callback(self._listening.close)
            if settings.grpc_port:
                self._grpc = _grpc_server(settings)
                undo.callback(self._grpc.stop, None)
            self.models = Models(servable.load, say)
            self.models.configure(settings.models)
            failures = self.models.failures()
            if failures:
                raise ExportError("; ".join(failures))
            undo.pop_all()
        metrics = Metrics(self.models.names)
        self._batcher = Batcher(settings.batching, metrics.batch)
        self.service = InferenceService(
            self.models, self._batcher, metrics, settings.timeout_seconds
        )

    def start(self) -> None:
        """Begins to answer, and to look for what is new."""
        settings = self._settings
        if self._grpc:
            self._start_grpc(self._grpc)
        if self._listening:
            rest = Rest(self.service, settings.limits, settings.cors, settings.web)
            self._http = _HttpServer(rest, self._listening, settings)
            self._http.start()
        self._pollers = [
            Poller(self.models.reconcile, settings.poll_seconds, self._say),
            Poller(self._read_models, settings.read_seconds, self._say),
        ]

    def _start_grpc(self, server: grpc.Server) -> None:
        most = self._settings.limits.max_request_bytes
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            PredictionService(self.service, most), server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            ModelService(self.service, most, self._settings.may_reload), server
        )
        server.start()

    def _read_models(self) -> None:
        """Serves what is to be served now, if that is not what it was."""
        assert self._settings.read_models is not None
        configs = list(self._settings.read_models())
        if configs != self.models.configs:
            self.models.configure(configs)
            for failure in self.models.failures():
                self._say(failure)

    def stop(self) -> tuple[int, int]:
        """Answers what has been taken, and ends.

        Returns:
            How many requests were taken, and how many were answered.
        """
        ends = time.monotonic() + self._settings.drain_seconds

        def left() -> float:
            return max(0.0, ends - time.monotonic())

        stopped = None
        if self._http:
            self._http.start_draining()
        if self._grpc:
            stopped = self._grpc.stop(self._settings.drain_seconds)
        if self._http:
            time.sleep(min(_DRAIN_SECONDS, self._settings.drain_seconds))
            self._http.stop(left())
        if stopped:
            stopped.wait(left())
        for poller in self._pollers:
            poller.stop(left())
        self._batcher.close(left())
        return self.service.counts
