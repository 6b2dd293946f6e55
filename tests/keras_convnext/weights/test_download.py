"""Downloads from a server on this machine that misbehaves in every known way."""

import hashlib
import http.server
import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from keras_convnext.weights.download import RetryPolicy, download
from keras_convnext.weights.errors import DownloadError

CONTENT = np.random.default_rng(0).bytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
CHECKSUM = f"sha256:{SHA256}"
QUICK = RetryPolicy(attempts=4, timeout_s=0.5, pause_s=0.01, longest_pause_s=0.05)
VERSION = '"v1"'


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the first part of the path; the server counts what was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        way = self.path.split("/")[1]
        count = self.server.asked[way] = self.server.asked[way] + 1
        self.server.ranges.append(self.headers.get("Range"))
        getattr(self, f"answer_{way}")(count)

    def begin(self, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def whole(self, content: bytes = CONTENT) -> None:
        self.begin(Content_Length=str(len(content)), ETag=VERSION)
        self.wfile.write(content)

    def rest(self, content: bytes = CONTENT, upto: int | None = None) -> None:
        """Answers a request for a range as a good server does."""
        asked = self.headers.get("Range")
        if asked is None or self.headers.get("If-Range") != VERSION:
            start, status, extra = 0, 200, {}
        else:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            end = len(content) - 1
            status = 206
            extra = {"Content_Range": f"bytes {start}-{end}/{len(content)}"}
        self.begin(
            status, Content_Length=str(len(content) - start), ETag=VERSION, **extra
        )
        self.wfile.write(content[start:upto])

    def drop(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(2)

    def answer_good(self, count: int) -> None:
        self.rest()

    def answer_dropping(self, count: int) -> None:
        # Each of the first three requests gets a quarter more of the file.
        if count < 4:
            self.rest(upto=count * len(CONTENT) // 4)
            self.drop()
        else:
            self.rest()

    def answer_changing(self, count: int) -> None:
        if count == 1:
            self.begin(Content_Length=str(len(CONTENT)), ETag='"v0"')
            self.wfile.write(b"x" * 1000)
            self.drop()
        else:
            self.rest()

    def answer_ignoring_ranges(self, count: int) -> None:
        if count == 1:
            self.rest(upto=1000)
            self.drop()
        else:
            self.whole()

    def answer_lying_about_ranges(self, count: int) -> None:
        if count == 1:
            self.rest(upto=1000)
            self.drop()
        elif self.headers.get("Range"):
            self.begin(206, Content_Range=f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}")
            self.drop()
        else:
            self.whole()

    def answer_unsatisfiable(self, count: int) -> None:
        if self.headers.get("Range"):
            self.begin(416, Content_Length="0")
        elif count == 1:
            self.rest(upto=1000)
            self.drop()
        else:
            self.whole()

    def answer_hopeless(self, count: int) -> None:
        self.rest(upto=1000)
        self.drop()

    def answer_wrong(self, count: int) -> None:
        self.whole(b"<html>not a weights file</html>")

    def answer_redirect(self, count: int) -> None:
        self.begin(302, Location="/good/file", Content_Length="0")

    def answer_circle(self, count: int) -> None:
        self.begin(302, Location="/circle/file", Content_Length="0")

    def answer_missing(self, count: int) -> None:
        self.begin(404, Content_Length="0")

    def answer_forbidden(self, count: int) -> None:
        self.begin(403, Content_Length="0")

    def answer_busy(self, count: int) -> None:
        if count < 3:
            self.begin(429, Retry_After="0", Content_Length="0")
        else:
            self.whole()

    def answer_always_busy(self, count: int) -> None:
        self.begin(429, Retry_After="3600", Content_Length="0")

    def answer_stalling(self, count: int) -> None:
        if count == 1:
            self.rest(upto=1000)
            self.wfile.flush()
            time.sleep(2 * QUICK.timeout_s)
            self.drop()
        else:
            self.rest()

    def answer_chunked(self, count: int) -> None:
        self.begin(Transfer_Encoding="chunked")
        self.wfile.write(b"%x\r\n%s\r\n" % (len(CONTENT), CONTENT))
        if count == 1:
            self.drop()
        else:
            self.wfile.write(b"0\r\n\r\n")

    def answer_slow(self, count: int) -> None:
        self.begin(Content_Length=str(len(CONTENT)), ETag=VERSION)
        self.wfile.write(CONTENT[:1000])
        self.wfile.flush()
        time.sleep(0.3)
        self.wfile.write(CONTENT[1000:])

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: Counter[str] = Counter()
        self.ranges: list[str | None] = []

    def handle_error(self, *_: object) -> None:
        """Connections that break are what is tested."""

    def url(self, way: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{way}/file"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def get(server: Server, tmp_path: Path) -> Callable[..., Path]:
    def get(way: str, **arguments: object) -> Path:
        defaults = {"checksum": CHECKSUM, "retry_policy": QUICK}
        path = tmp_path / "cache" / "weights.pth"
        return download(server.url(way), path, **{**defaults, **arguments})

    return get


def files(tmp_path: Path) -> list[str]:
    """Returns the files in the cache; the lock's file may remain."""
    return sorted(
        path.name
        for path in (tmp_path / "cache").iterdir()
        if not path.name.endswith(".lock")
    )


def test_a_file_is_fetched_once_and_then_used_without_the_network(
    server: Server, get: Callable, tmp_path: Path
) -> None:
    assert get("good").read_bytes() == CONTENT
    assert get("good").read_bytes() == CONTENT
    assert server.asked["good"] == 1
    assert files(tmp_path) == ["weights.pth"]


def test_a_dropped_connection_is_taken_up_where_it_broke(
    server: Server, get: Callable, tmp_path: Path
) -> None:
    assert get("dropping").read_bytes() == CONTENT
    quarter = len(CONTENT) // 4
    assert server.ranges == [
        None,
        f"bytes={quarter}-",
        f"bytes={2 * quarter}-",
        f"bytes={3 * quarter}-",
    ]
    assert files(tmp_path) == ["weights.pth"]


def test_what_has_arrived_is_kept_for_the_next_call(
    server: Server, get: Callable, tmp_path: Path
) -> None:
    once = RetryPolicy(attempts=1, timeout_s=0.5)
    with pytest.raises(DownloadError, match="750,000 bytes are kept"):
        get("dropping", retry_policy=once)
    assert not (tmp_path / "cache" / "weights.pth").exists()
    assert get("dropping").read_bytes() == CONTENT
    assert server.ranges[1] == "bytes=750000-"


@pytest.mark.parametrize(
    "way", ["changing", "ignoring_ranges", "lying_about_ranges", "unsatisfiable"]
)
def test_a_server_that_cannot_go_on_from_there_is_asked_for_everything(
    way: str, get: Callable, tmp_path: Path
) -> None:
    assert get(way).read_bytes() == CONTENT
    assert files(tmp_path) == ["weights.pth"]


def test_a_connection_that_always_breaks_leaves_no_file_under_the_name(
    server: Server, get: Callable, tmp_path: Path
) -> None:
    with pytest.raises(DownloadError, match="could not be fetched in 4 attempts"):
        get("hopeless")
    assert "weights.pth" not in files(tmp_path)


def test_a_wrong_file_is_deleted_and_its_checksum_named(
    get: Callable, tmp_path: Path
) -> None:
    with pytest.raises(DownloadError, match=SHA256[:16]):
        get("wrong")
    assert files(tmp_path) == []


def test_a_checksum_of_eight_digits_is_enough(get: Callable) -> None:
    assert get("good", checksum=f"sha256:{SHA256[:8]}").read_bytes() == CONTENT


def test_a_file_of_another_length_is_refused_before_it_is_fetched(
    get: Callable, tmp_path: Path
) -> None:
    with pytest.raises(DownloadError, match="3,000,000 bytes long; 2,999,999 were"):
        get("good", checksum=None, size_bytes=2_999_999)
    assert "weights.pth" not in files(tmp_path)


def test_redirects_are_followed(get: Callable) -> None:
    assert get("redirect").read_bytes() == CONTENT


def test_redirects_in_a_circle_end_in_one_clear_error(get: Callable) -> None:
    with pytest.raises(DownloadError, match="redirect"):
        get("circle")


@pytest.mark.parametrize(
    ("way", "meaning"),
    [("missing", "no such file on the server"), ("forbidden", "does not allow it")],
)
def test_what_will_not_change_is_not_tried_again(
    way: str, meaning: str, server: Server, get: Callable, tmp_path: Path
) -> None:
    with pytest.raises(DownloadError, match=meaning):
        get(way)
    assert server.asked[way] == 1
    assert "weights.pth" not in files(tmp_path)


def test_a_machine_without_a_network_hears_so_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    retry_policy = RetryPolicy(attempts=3, pause_s=60.0)
    began = time.monotonic()
    with pytest.raises(DownloadError, match="there is no network"):
        # RFC 2606: no name ends in this.
        download(
            "http://a.invalid/w.pth", tmp_path / "w.pth", retry_policy=retry_policy
        )
    assert time.monotonic() - began < 60.0  # it did not wait for a second attempt


def test_a_busy_server_is_asked_again(server: Server, get: Callable) -> None:
    assert get("busy").read_bytes() == CONTENT
    assert server.asked["busy"] == 3


def test_a_server_that_stays_busy_is_not_waited_for_without_end(get: Callable) -> None:
    began = time.monotonic()
    with pytest.raises(DownloadError, match="too much was asked of it"):
        get("always_busy")
    # Three pauses of at most 0.05 s, whatever the server asks for (an hour).
    assert time.monotonic() - began < 5


def test_a_stall_is_noticed_and_the_file_taken_up_again(
    server: Server, get: Callable
) -> None:
    assert get("stalling").read_bytes() == CONTENT
    assert server.ranges[1] == "bytes=1000-"


def test_a_stream_without_a_length_that_breaks_is_fetched_again(
    server: Server, get: Callable
) -> None:
    assert get("chunked", checksum=None).read_bytes() == CONTENT
    assert server.asked["chunked"] == 2


def test_nobody_listening_is_one_clear_error(tmp_path: Path) -> None:
    # Port 9 (discard) is closed on any machine of today.
    with pytest.raises(DownloadError, match="refused"):
        download("http://127.0.0.1:9/file", tmp_path / "file", retry_policy=QUICK)


def test_a_folder_that_cannot_be_written_is_one_clear_error(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DownloadError, match="cannot be written"):
        download(
            server.url("good"), tmp_path / "file" / "weights.pth", retry_policy=QUICK
        )


def _download(url: str, path: Path, results: multiprocessing.Queue) -> None:
    results.put(download(url, path, checksum=CHECKSUM, retry_policy=QUICK).read_bytes())


def test_two_processes_fetch_a_file_once(server: Server, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    arguments = (server.url("slow"), tmp_path / "cache" / "weights.pth", results)
    processes = [context.Process(target=_download, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    contents = [results.get(timeout=30) for _ in processes]
    for process in processes:
        process.join()
    assert contents == [CONTENT, CONTENT]
    assert server.asked["slow"] == 1
