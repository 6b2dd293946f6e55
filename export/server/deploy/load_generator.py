"""Sends many requests at once and says how they were answered, and how fast.

    python -m export.server.deploy.load_generator --image=photo.jpg --requests=1000 \
        --clients=16 --protocol=rest

Each client is a thread with a connection of its own, and sends its next request when it
has the answer to the last. Every answer is compared with the first to the same image.
How much memory the server has is printed too, where its metrics say so.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

# Images are computed in batches of different sizes, which sum in different orders.
_TOLERANCE = 1e-5
_MEMORY = "process_resident_memory_bytes "
Ask = Callable[[bytes], dict]


@dataclass
class Tally:
    """What became of the requests.

    Attributes:
        seconds: How long each answered request took.
        wrong: How many answers were not what was expected.
        errors: How many requests had no answer, by what was said instead.
        total_seconds: From the first request to the last answer.
    """

    seconds: list[float] = field(default_factory=list)
    wrong: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    total_seconds: float = 0.0

    def line(self) -> str:
        """Returns the figures in one line."""
        failed = sum(self.errors.values())
        if not self.seconds:
            return f"0 answered, {failed} failed"
        milliseconds = 1e3 * np.percentile(self.seconds, [50, 95, 99])
        rate = len(self.seconds) / self.total_seconds
        p50, p95, p99 = milliseconds
        return (
            f"{len(self.seconds)} answered, {self.wrong} wrong, {failed} failed; "
            f"{rate:.0f}/s, p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms"
        )


def is_same(answer: dict, expected: dict) -> bool:
    """Returns True if two answers about an image are the same."""
    return bool(
        answer["status"] == expected["status"]
        and answer["classes"] == expected["classes"]
        and np.allclose(answer["scores"], expected["scores"], rtol=0, atol=_TOLERANCE)
    )


def run(
    clients: Sequence[Ask],
    files: Sequence[bytes],
    count: int,
    expected: Sequence[dict] | None = None,
) -> Tally:
    """Sends requests and counts.

    Args:
        clients: What sends an image and returns its answer; a thread each.
        files: The images, one a request, again and again.
        count: How many requests.
        expected: The answer to each image; the first client is asked if `None`.

    Returns:
        What became of the requests.
    """
    wanted = expected or [clients[0](file) for file in files]
    numbers = itertools.count()
    lock = threading.Lock()
    tally = Tally()

    def work(ask: Ask) -> None:
        while (number := next(numbers)) < count:
            begun = time.perf_counter()
            try:
                answer = ask(files[number % len(files)])
            except Exception as error:
                with lock:
                    tally.errors[f"{type(error).__name__}: {error}"[:200]] += 1
                continue
            taken = time.perf_counter() - begun
            with lock:
                tally.seconds.append(taken)
                tally.wrong += not is_same(answer, wanted[number % len(files)])

    threads = [threading.Thread(target=work, args=(ask,)) for ask in clients]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tally.total_seconds = time.perf_counter() - begun
    return tally


def rest_client(url: str, model: str, stack: ExitStack) -> Ask:
    """Returns a client that keeps its connection.

    Args:
        url: The server, such as `http://127.0.0.1:8501`.
        model: What the server calls the model.
        stack: Closes the connection.
    """
    import base64
    import http.client
    import json
    from urllib.parse import quote, urlsplit

    parts = urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port, timeout=60
    )
    stack.callback(connection.close)
    path = f"/v1/models/{quote(model, safe='')}:predict"

    def ask(file: bytes) -> dict:
        instance = {"b64": base64.b64encode(file).decode("ascii")}
        body = json.dumps({"signature_name": "bytes", "instances": [instance]})
        connection.request("POST", path, body)
        answer = json.loads(connection.getresponse().read())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        (prediction,) = answer["predictions"]
        return dict(prediction)

    return ask


def grpc_client(target: str, model: str, stack: ExitStack) -> Ask:
    """Returns a client with a connection of its own.

    Args:
        target: The server, such as `127.0.0.1:8500`.
        model: What the server calls the model.
        stack: Closes the connection.
    """
    import grpc

    from .grpc_client import predict

    # Without the option all channels to a server share one connection.
    options = [("grpc.use_local_subchannel_pool", 1)]
    channel = stack.enter_context(grpc.insecure_channel(target, options=options))
    return lambda file: predict(channel, model, [file], 60)[0]


def server_memory_mb(url: str) -> float | None:
    """Returns how much memory a server has, or `None` where it does not say.

    Args:
        url: The server, such as `http://127.0.0.1:8501`.
    """
    import urllib.request

    place = url.rstrip("/") + "/monitoring/prometheus/metrics"
    try:
        with urllib.request.urlopen(place, timeout=60) as response:
            lines = response.read().decode().splitlines()
    except OSError:
        return None
    found = [line.split()[-1] for line in lines if line.startswith(_MEMORY)]
    return float(found[0]) / 2**20 if found else None


def main(argv: list[str]) -> int:
    """Sends what the command line says and prints the figures.

    Args:
        argv: The program's name and its arguments.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8501")
    parser.add_argument("--target", default="127.0.0.1:8500")
    parser.add_argument("--protocol", choices=["rest", "grpc", "both"], default="both")
    parser.add_argument("--model", default="default")
    parser.add_argument("--image", nargs="+", required=True, type=Path)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=8)
    try:
        options = parser.parse_args(argv[1:])
    except SystemExit as end:
        return int(end.code or 0)
    makers = {
        "rest": lambda stack: rest_client(options.url, options.model, stack),
        "grpc": lambda stack: grpc_client(options.target, options.model, stack),
    }
    chosen = list(makers) if options.protocol == "both" else [options.protocol]
    try:
        files = [path.read_bytes() for path in options.image]
        with ExitStack() as stack:
            kinds = itertools.islice(itertools.cycle(chosen), options.clients)
            clients = [makers[kind](stack) for kind in kinds]
            before_mb = server_memory_mb(options.url)
            tally = run(clients, files, options.requests)
            after_mb = server_memory_mb(options.url)
    except Exception as error:
        print(f"load_generator: {error}", file=sys.stderr)
        return 1
    print(tally.line())
    if before_mb and after_mb:
        print(
            f"the server's memory: {before_mb:.0f} MB before, {after_mb:.0f} MB after"
        )
    for said, times in tally.errors.most_common(5):
        print(f"  {times} times: {said}")
    return int(bool(tally.wrong or tally.errors))


if __name__ == "__main__":
    sys.exit(main(sys.argv))
