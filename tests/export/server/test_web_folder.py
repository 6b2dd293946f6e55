"""A page for the browser that the server offers beside its interface."""

import re
import shutil
import socket
import subprocess

import pytest

requests = pytest.importorskip("requests")
pytest.importorskip("tensorflow_serving", reason="needs the extra serve")
pytest.importorskip("uvicorn", reason="needs the extra serve")

from tests.export.server.server_support import (  # noqa: E402
    ROWS,
    ask,
    command,
    write_version,
)

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
# Loads a module of the folder, as the runtime's files are loaded, and says what it may.
PAGE = """<!DOCTYPE html><title>page</title><p>0</p><script type="module">
import { word } from "./litert/core.js";
document.querySelector("p").textContent = word + " " + self.crossOriginIsolated;
</script>"""
ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


def write_web(folder):
    (folder / "web" / "litert").mkdir(parents=True)
    (folder / "web" / "index.html").write_text(PAGE)
    (folder / "web" / "model_float32.tflite").write_bytes(bytes(range(256)) * 4096)
    (folder / "web" / "litert" / "core.js").write_text('export const word = "read";')
    (folder / "web" / "litert" / "core.wasm").write_bytes(b"\0asm")
    (folder / "labels.txt").write_text("not for strangers")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    write_web(folder)
    (folder / "saved_model").mkdir()
    write_version(folder / "saved_model", 1)
    flags = f"--model_dir={folder}", "--model_name=toy"
    with command(*flags, log=folder / "log") as server:
        yield server


def test_the_files_are_served_with_the_headers_that_threads_need(server):
    page = requests.get(server.url + "/web", timeout=20)
    assert (page.url, page.text) == (server.url + "/web/", PAGE)
    model = requests.get(server.url + "/web/model_float32.tflite", timeout=20)
    assert model.content == bytes(range(256)) * 4096
    module = requests.get(server.url + "/web/litert/core.js", timeout=20)
    # Browsers take neither for a script or a program that is called otherwise.
    assert module.headers["Content-Type"].startswith("text/javascript")
    program = requests.get(server.url + "/web/litert/core.wasm", timeout=20)
    assert program.headers["Content-Type"] == "application/wasm"
    for response in (page, model, module, program):
        assert ISOLATED.items() <= response.headers.items()
        assert response.headers["Cache-Control"] == "no-cache"
    # Asked for again, an unchanged file does not come a second time.
    tag = {"If-None-Match": model.headers["ETag"]}
    again = requests.get(model.url, headers=tag, timeout=20)
    assert (again.status_code, again.content) == (304, b"")
    assert f"{server.url}/web/ for browsers" in server.log.read_text()


def test_the_folder_of_versions_leads_to_the_same_page(server, tmp_path):
    folder = server.log.parent
    flags = f"--model_dir={folder / 'saved_model'}", "--model_name=toy"
    with command(*flags, log=tmp_path / "log") as other:
        assert requests.get(other.url + "/web/", timeout=20).text == PAGE
        assert ask(other.url, ROWS).status_code == 200


def test_the_interface_is_what_it_was(server):
    assert ask(server.url, ROWS).json() == {"predictions": [[1.5, 2.0], [-1.0, 1.0]]}
    page = requests.get(server.url + "/", timeout=20)
    assert "Cross-Origin-Opener-Policy" not in page.headers


@pytest.mark.parametrize(
    "path",
    ["/web/other", "/web/../labels.txt", "/web/%2e%2e/labels.txt", "/web/litert"],
)
def test_nothing_else_is_served(server, path):
    # Without a library that tidies paths.
    with socket.create_connection(("127.0.0.1", server.rest), 20) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        answer = connection.recv(4096).decode()
    assert re.match(r"HTTP/1.1 (404|307) ", answer), answer
    assert "strangers" not in answer
    refused = requests.post(server.url + "/web/index.html", timeout=20)
    assert refused.status_code == 405


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_a_browser_isolates_the_page(server, tmp_path):
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    flags += [f"--user-data-dir={tmp_path}", "--virtual-time-budget=10000"]
    asked = [CHROMIUM, *flags, server.url + "/web/"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=120)
    assert "<p>read true</p>" in done.stdout


@pytest.mark.slow
def test_a_folder_without_a_saved_model_is_served_alone(tmp_path):
    write_web(tmp_path)
    with command(f"--model_dir={tmp_path}", log=tmp_path / "log") as server:
        assert requests.get(server.url + "/web/", timeout=20).text == PAGE
        assert ask(server.url, ROWS).status_code == 404
        assert server.terminate() == 0
