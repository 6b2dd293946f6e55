"""How fast the embedded server answers, by how its requests are computed together.

    python -m benchmarks.serving_load --model_dir=runs/demo/export --image=photo.jpg

Starts the server once for each setting, at ports that are free, and loads it from this
machine: server and clients share its cores.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from export.server.deploy import load_generator

SETTINGS = (
    ("one at a time", ["--max_batch_size=1"]),
    ("32, no waiting", ["--max_batch_size=32"]),
    ("32, 5 ms", ["--max_batch_size=32", "--batch_timeout_micros=5000"]),
)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def measure(
    model_dir: str, flags: list[str], files: list[bytes], requests: int, clients: int
) -> dict[str, str]:
    """Returns the figures of one setting by protocol.

    Args:
        model_dir: What is served.
        flags: The setting.
        files: Encoded images.
        requests: How many, of each protocol.
        clients: How many at once.
    """
    rest, grpc = _free_port(), _free_port()
    command = [sys.executable, "-m", "export.serve_main", f"--model_dir={model_dir}"]
    ports = [f"--rest_api_port={rest}", f"--port={grpc}"]
    found = {}
    with subprocess.Popen(
        [*command, *ports, *flags], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            if not any("ready" in line for line in server.stdout):
                raise SystemExit("the server did not start")
            for protocol in ("REST", "gRPC"):
                with ExitStack() as stack:
                    asking = [
                        load_generator.rest_client(
                            f"http://127.0.0.1:{rest}", "default", stack
                        )
                        if protocol == "REST"
                        else load_generator.grpc_client(
                            f"127.0.0.1:{grpc}", "default", stack
                        )
                        for _ in range(clients)
                    ]
                    load_generator.run(asking, files, 10 * clients)
                    tally = load_generator.run(asking, files, requests)
                    found[protocol] = tally.line()
        finally:
            server.terminate()
            # Its last lines have to find a reader.
            server.communicate()
    return found


def main() -> None:
    """Measures every setting and prints a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model_dir", required=True)
    parser.add_argument("--image", nargs="+", required=True, type=Path)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=16)
    options = parser.parse_args()
    files = [path.read_bytes() for path in options.image]
    for name, flags in SETTINGS:
        figures = measure(
            options.model_dir, flags, files, options.requests, options.clients
        )
        for protocol, line in figures.items():
            print(f"{name:15} {protocol}: {line}", flush=True)


if __name__ == "__main__":
    main()
