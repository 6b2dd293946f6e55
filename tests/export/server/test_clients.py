"""The clients of the deployment files, without an answer and with many."""

import http.server
import re
import threading
from pathlib import Path

import pytest

pytest.importorskip("tensorflow_serving", reason="needs the extra serve")
pytest.importorskip("uvicorn", reason="needs the extra serve")

from export.server.deploy import grpc_client, load_generator, rest_client


class Page(http.server.BaseHTTPRequestHandler):
    """A proxy that has something to say, but no JSON."""

    def do_POST(self):
        self.send_response(502)
        self.end_headers()
        self.wfile.write(b"<html>Bad Gateway</html>")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def proxy():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_clients_say_in_a_line_why_there_is_no_answer(served, url, proxy, capsys):
    grpc_url = f"http://127.0.0.1:{served.grpc_port}"
    target = f"127.0.0.1:{served.grpc_port}"
    for main, flag, place, model, words in (
        (rest_client.main, "url", url, "my model", "Latest(my model)"),
        (rest_client.main, "url", url, "a/b:c?d", "Latest(a/b:c?d)"),
        (rest_client.main, "url", grpc_url, "toy", "does not speak HTTP"),
        (rest_client.main, "url", proxy, "toy", "502 Bad Gateway"),
        (rest_client.main, "url", url + "/else", "toy", "Not found"),
        (rest_client.main, "url", "127.0.0.1:1", "toy", "127.0.0.1"),
        (rest_client.main, "url", "http://127.0.0.1:1", "toy", "refused"),
        (rest_client.main, "url", "http://127.0.0.1:x", "toy", "x"),
        (grpc_client.main, "target", target, "my model", "Latest(my model)"),
        (grpc_client.main, "target", "127.0.0.1:1", "toy", "UNAVAILABLE"),
    ):
        argv = [
            "client",
            f"--{flag}={place}",
            f"--model={model}",
            f"--image={__file__}",
        ]
        assert main(argv) == 1
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1


def test_the_load_generator_tells_how_much_memory_the_server_has(served, url, capsys):
    place = (f"--url={url}", f"--target=127.0.0.1:{served.grpc_port}", "--model=toy")
    load = ("--requests=6", "--clients=2", "--image", __file__)
    assert load_generator.main(["load_generator", *place, *load]) == 0
    answered, memory = capsys.readouterr().out.splitlines()
    assert answered.startswith("6 answered, 0 wrong, 0 failed")
    # The server is this process. Six requests take less than 50 MB.
    status = Path("/proc/self/status").read_text()
    resident_mb = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024
    for told in re.findall(r"(\d+) MB", memory):
        assert float(told) == pytest.approx(resident_mb, abs=50)
