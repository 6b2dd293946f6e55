"""What comes over the wire: too large, too slow, no HTTP, an image with flaws."""

import base64
import io
import re
import socket
import time

import pytest
from PIL import Image

from keras_convnext.decoder_lines import report_decoder_lines

grpc = pytest.importorskip("grpc")
requests = pytest.importorskip("requests")
pytest.importorskip("tensorflow_serving", reason="needs the extra serve")
pytest.importorskip("uvicorn", reason="needs the extra serve")

from tests.export.server.server_support import (  # noqa: E402
    BODY_SECONDS,
    ROWS,
    ROWS_ANSWER,
    SERVED,
    ask,
)


def raw_answer(served, sent, timeout_s=20.0):
    """What comes back on a connection until the server closes it."""
    with socket.create_connection(("127.0.0.1", served.rest_port), timeout_s) as client:
        client.sendall(sent)
        answer = b""
        while part := client.recv(65536):
            answer += part
    return answer


def head(*lines):
    first = (f"POST {SERVED} HTTP/1.1", "Host: here", *lines)
    return "\r\n".join(first).encode() + b"\r\n\r\n"


def test_a_body_of_a_gigabyte_is_refused_before_it_is_sent(served):
    begun = time.monotonic()
    answer = raw_answer(served, head(f"Content-Length: {2**30}"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"larger than 1048576 bytes" in answer
    assert time.monotonic() - begun < BODY_SECONDS


def test_a_body_without_a_length_is_refused_when_it_becomes_too_large(served):
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    answer = raw_answer(served, head("Transfer-Encoding: chunked") + 17 * chunk)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_who_sends_too_slowly_is_given_up(served, url):
    assert raw_answer(served, b"POST / HT") == b""
    answer = raw_answer(served, head("Content-Length: 100") + b"{")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert ask(url, ROWS).json() == ROWS_ANSWER


def test_what_is_no_http_is_refused(served):
    assert raw_answer(served, b"\x16\x03\x01\x02\x00\x01\r\n\r\n").startswith(
        b"HTTP/1.1 400 "
    )


def test_what_a_decoder_complains_of_has_the_name_of_the_request(url, capfd):
    file = io.BytesIO()
    Image.new("RGB", (40, 30)).save(file, "JPEG")
    whole = file.getvalue()
    # Eight bytes too many before the end, which libjpeg passes over with a line.
    flawed = whole[:-2] + bytes(range(1, 9)) + whole[-2:]
    with report_decoder_lines("serve"):
        for contents in (whole, flawed, whole):
            document = {
                "signature_name": "heights",
                "instances": [{"b64": base64.b64encode(contents).decode()}],
            }
            assert ask(url, document).json() == {"predictions": [30]}
    [line] = capfd.readouterr().err.splitlines()
    name = r"serve: request \d+ \(REST predict of toy\): Corrupt JPEG data: "
    assert re.match(name, line)
