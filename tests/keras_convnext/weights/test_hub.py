"""Downloads in the hub's way, from a server on this machine that speaks as it does."""

import hashlib
import http.server
import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError

from keras_convnext.weights import hub
from keras_convnext.weights.download import RetryPolicy
from keras_convnext.weights.errors import DownloadError
from keras_convnext.weights.hub import download_from_hub

CONTENT = np.random.default_rng(0).bytes(200_000)
FILES = ("model.safetensors", "pytorch_model.bin")
# What comes of a file before a connection breaks, and how long one may be silent.
ARRIVES, STALL_S = 50_000, 1.0
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer(b"")

    def do_GET(self) -> None:
        self.answer(self.server.content)

    def answer(self, body: bytes) -> None:
        self.server.asked += 1
        # /<owner>/<repository>/resolve/main/<file>, or /elsewhere/<file>
        owner, *_, name = self.path.strip("/").split("/")
        status = {"gone": 404, "gated": 403, "broken": 500}.get(owner, 200)
        error = {"gone": "RepoNotFound", "gated": "GatedRepo"}.get(owner)
        if owner == "old" and name == FILES[0]:
            status, error = 404, "EntryNotFound"
        self.server.fetched[owner] += bool(body)
        first = self.server.fetched[owner] == 1 and bool(body)
        if owner == "busy" and first:
            status = 429
        if owner == "redirected" and body:
            status = 302
        start = 0
        if body and "Range" in self.headers:
            start = int(self.headers["Range"].removeprefix("bytes=").split("-")[0])
            self.server.continued.append(start)
            status = 206
        self.send_response(status)
        if error:
            self.send_header("X-Error-Code", error)
        if status == 302:
            self.send_header("Location", f"/elsewhere/{name}")
        if status == 429:
            self.send_header("Retry-After", "1")
        self.send_header("X-Repo-Commit", COMMIT)
        sha256 = hashlib.sha256(CONTENT).hexdigest()
        self.send_header("ETag", f'"{sha256}"')
        length = len(self.server.content) - start if status in (200, 206) else 0
        self.send_header("Content-Length", str(length))
        if status == 206:
            last = len(self.server.content) - 1
            whole = len(self.server.content)
            self.send_header("Content-Range", f"bytes {start}-{last}/{whole}")
        self.end_headers()
        if not length:
            return
        breaks = first and owner in ("dropping", "stalling")
        if breaks or owner == "hopeless":
            self.wfile.write(body[:ARRIVES])
            self.wfile.flush()
            time.sleep(2 * STALL_S if owner == "stalling" else 0)
            self.close_connection = True
            self.connection.shutdown(2)
        elif owner == "slow":
            self.wfile.write(body[:ARRIVES])
            self.wfile.flush()
            time.sleep(0.5)
            self.wfile.write(body[ARRIVES:])
        else:
            self.wfile.write(body[start:])

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    content = CONTENT

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = 0
        self.fetched: Counter[str] = Counter()
        self.continued: list[int] = []

    def handle_error(self, *_: object) -> None:
        """Connections that break are what is tested."""

    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get(server: Server, hub_id: str, cache: Path, said: list[str]) -> Path:
    return download_from_hub(
        hub_id,
        FILES,
        cache=cache,
        before=lambda: said.append(hub_id),
        endpoint=server.endpoint(),
    )


def test_a_file_is_fetched_once_and_the_license_said_once(
    server: Server, tmp_path: Path
) -> None:
    said: list[str] = []
    assert get(server, "timm/tiny", tmp_path, said).read_bytes() == CONTENT
    asked = server.asked
    assert get(server, "timm/tiny", tmp_path, said).read_bytes() == CONTENT
    assert server.asked == asked
    assert said == ["timm/tiny"]


def test_the_older_file_name_is_tried_where_the_newer_is_missing(
    server: Server, tmp_path: Path
) -> None:
    path = get(server, "old/tiny", tmp_path, [])
    assert path.name == "pytorch_model.bin"
    assert path.read_bytes() == CONTENT


def test_a_file_that_is_not_what_the_hub_promised_is_deleted(
    server: Server, tmp_path: Path
) -> None:
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(DownloadError, match="sha256 differs"):
        get(server, "timm/tiny", tmp_path, [])
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(path.stat().st_size < 1000 for path in left)


@pytest.fixture
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the hub's client keep what has arrived in pieces smaller than the file."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", ARRIVES // 5)


@pytest.mark.usefixtures("_small_pieces")
def test_a_connection_that_breaks_is_taken_up_where_it_broke(
    server: Server, tmp_path: Path
) -> None:
    assert get(server, "dropping/tiny", tmp_path, []).read_bytes() == CONTENT
    assert server.continued == [ARRIVES]


def test_a_connection_that_always_breaks_is_one_clear_line_and_no_file(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "_RETRY_POLICY", RetryPolicy(attempts=2, pause_s=0.0))
    monkeypatch.setattr(time, "sleep", lambda _: None)  # the client's own pauses
    with pytest.raises(DownloadError, match="hopeless/tiny") as caught:
        get(server, "hopeless/tiny", tmp_path, [])
    assert "\n" not in str(caught.value)
    assert list(tmp_path.rglob("model.safetensors")) == []
    assert server.fetched["hopeless"] >= 2


@pytest.mark.usefixtures("_small_pieces")
def test_a_stall_is_noticed_and_the_file_taken_up_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", STALL_S)
    assert get(server, "stalling/tiny", tmp_path, []).read_bytes() == CONTENT
    assert server.continued == [ARRIVES]


def test_a_redirect_to_where_the_hub_keeps_its_files_is_followed(
    server: Server, tmp_path: Path
) -> None:
    assert get(server, "redirected/tiny", tmp_path, []).read_bytes() == CONTENT
    assert server.fetched["elsewhere"] == 1


def test_a_busy_hub_is_asked_again(server: Server, tmp_path: Path) -> None:
    assert get(server, "busy/tiny", tmp_path, []).read_bytes() == CONTENT
    assert server.fetched["busy"] == 2


def _fetch(endpoint: str, cache: Path, results: multiprocessing.Queue) -> None:
    path = download_from_hub("slow/tiny", FILES, cache=cache, endpoint=endpoint)
    results.put(path.read_bytes())


def test_two_processes_fetch_a_file_once(server: Server, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    arguments = (server.endpoint(), tmp_path, results)
    processes = [context.Process(target=_fetch, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    contents = [results.get(timeout=30) for _ in processes]
    for process in processes:
        process.join()
    assert contents == [CONTENT, CONTENT]
    assert server.fetched["slow"] == 1


@pytest.mark.parametrize(
    ("hub_id", "words"),
    [("gone/tiny", "no repository gone/tiny"), ("gated/tiny", "accept its terms")],
)
def test_a_refusal_is_one_clear_line(
    hub_id: str, words: str, server: Server, tmp_path: Path
) -> None:
    with pytest.raises(DownloadError, match=words) as caught:
        get(server, hub_id, tmp_path, [])
    assert "\n" not in str(caught.value)


@pytest.mark.slow  # the hub's own client tries for twenty seconds
def test_a_hub_that_cannot_be_reached_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"cannot be reached|refused"):
        download_from_hub(
            "timm/tiny", FILES, cache=tmp_path, endpoint="http://127.0.0.1:9"
        )


def test_a_machine_without_a_network_hears_so_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "getproxies", dict)
    monkeypatch.setattr(hub, "hf_hub_download", _only_the_cache)
    with pytest.raises(DownloadError, match="there is no network"):
        # RFC 2606: no name ends in this.
        download_from_hub(
            "timm/tiny", FILES, cache=tmp_path, endpoint="http://a.invalid"
        )


def _only_the_cache(*names: str, **arguments: object) -> str:
    assert arguments.get("local_files_only"), "the hub's client was asked to try"
    raise LocalEntryNotFoundError("not there")
