"""A folder for the browser: its files, what npm is asked, and what a browser says."""

import http.server
import io
import json
import os
import shutil
import subprocess
import tarfile
import threading
from functools import partial

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from export import main as command
from export.convert import tflite
from export.convert.web import site
from tests.export.conftest import smooth_images

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
# Asks the page's model about the pixels in pixels.json and tells the server.
ASK = """<!DOCTYPE html><iframe src="index.html"></iframe><script type="module">
const tell = (what) => fetch("found", {method: "POST", body: JSON.stringify(what)});
try {
  const inside = document.querySelector("iframe").contentWindow;
  while (!inside.page) await new Promise((resolve) => setTimeout(resolve, 100));
  await inside.page.ready;
  const pixels = await (await fetch("pixels.json")).json();
  const found = [];
  for (const engine of ENGINES) {
    inside.page.engine.value = engine;
    await inside.page.load();
    found.push(await inside.page.answer(new inside.Float32Array(pixels)));
  }
  await tell(found);
} catch (error) { await tell(String(error)); }
</script>"""


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """A program that packs small files under the names of LiteRT.js' packages."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for package, members in site._MEMBERS.items():
        with tarfile.open(folder / f"litertjs-{package}-9.tgz", "w:gz") as archive:
            for member in members.values():
                contents = f"{package}: {member}".encode()
                entry = tarfile.TarInfo(f"package/{member}")
                entry.size = len(contents)
                archive.addfile(entry, io.BytesIO(contents))
    program = folder / "npm"
    program.write_text(
        f'#!/bin/sh\necho "$@" > {folder}/asked\n'
        'for word in "$@"; do case "$word" in --pack-destination=*) '
        f'cp {folder}/*.tgz "${{word#*=}}";; esac; done\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return program


def export(model, out, *flags):
    images = out.parent / "images"
    images.mkdir(exist_ok=True)
    for number, image in enumerate(smooth_images(4)):
        Image.fromarray(np.uint8(image)).save(images / f"{number}.png")
    compared = [f"--images=folder:{images}", "--most_images=4"]
    return command.main(
        ["", f"--model={model}", f"--out={out}", "--format=web", *compared, *flags]
    )


def test_the_folder_has_all_that_the_page_names(
    npm, workdir, exact, tmp_path, monkeypatch
):
    out = tmp_path / "export"
    assert export(workdir, out) == 0
    page = (out / "web/index.html").read_text(encoding="utf-8")
    about = json.loads((out / "web/model.json").read_text(encoding="utf-8"))
    assert (out / "web" / about["file"]).is_file()
    assert about["preprocessing"]["size_px"] == 32
    assert about["labels"] == (out / "labels.txt").read_text().splitlines()
    assert '"./litert/core.js"' in page
    assert (out / "web/litert/core.js").read_text() == "core: dist/index.js"
    loaded = out / "web/litert/litert_wasm_internal.wasm"
    assert loaded.read_text() == "core: wasm/litert_wasm_internal.wasm"
    asked = npm.with_name("asked").read_text()
    assert "@litertjs/core@2.5.3 @litertjs/wasm-utils@2.5.3" in asked
    # Nothing of the page leaves the folder.
    assert "http://" not in page
    assert "https://" not in page
    written = json.loads((out / "export.json").read_text())["artefacts"]
    [(place, made)] = written.items()
    assert place == "web/model_float32.tflite"
    assert "web/litert/core.js" in made["beside"]
    # Again, over what is there; another file, of which only the name counts here.
    monkeypatch.setattr(tflite, "convert", lambda *_, **__: exact)
    assert export(workdir, out, "--precision=float16") == 0
    about = json.loads((out / "web/model.json").read_text(encoding="utf-8"))
    assert about["file"] == "model_float16.tflite"


def test_npm_that_fails_leaves_nothing(
    npm, workdir, exact, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(tflite, "convert", lambda *_, **__: exact)
    npm.write_text("#!/bin/sh\necho 'no such host' >&2\nexit 1\n")
    assert export(workdir, tmp_path / "export") == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "npm could not fetch @litertjs/core@2.5.3" in said
    assert said.endswith("no such host")
    assert not (tmp_path / "export").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--precision=float32,float16"], "holds one model"),
        (["--precision=int8"], "web has no int8"),
        (["--any_size"], "--any_size is not for --format=web"),
        (["--batch=2"], "--batch=2 is not for --format=web"),
        (["--output=features"], "gives features alone"),
    ],
)
def test_what_a_page_cannot_do_is_refused(flags, words, npm, workdir, tmp_path, capsys):
    assert export(workdir, tmp_path / "export", *flags) == 2
    assert words in capsys.readouterr().err


def test_without_npm(workdir, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert export(workdir, tmp_path / "export") == 2
    assert "--format=web needs npm" in capsys.readouterr().err


class _Server(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, isolated or not, and keeps what a page posts."""

    def __init__(self, *arguments, told, isolated, **others):
        self.told, self.isolated = told, isolated
        super().__init__(*arguments, **others)

    def end_headers(self):
        if self.isolated:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        self.told.append(json.loads(self.rfile.read(length)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.mark.network
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
@pytest.mark.parametrize("isolated", [False, True], ids=["one thread", "threads"])
def test_a_browser_answers_as_litert_does(workdir, tmp_path, isolated):
    out = tmp_path / "export"
    assert export(workdir, out) == 0
    folder = out / "web"
    asked = Interpreter(str(folder / "model_float32.tflite"))
    asked.allocate_tensors()
    [given], [answered] = asked.get_input_details(), asked.get_output_details()
    pixels = np.random.default_rng(0).uniform(0, 255, given["shape"]).astype("float32")
    asked.set_tensor(given["index"], pixels)
    asked.invoke()
    expected = asked.get_tensor(answered["index"])[0]
    (folder / "pixels.json").write_text(json.dumps(pixels.ravel().tolist()))
    engines = '["wasm", "webgpu"]'
    (folder / "ask.html").write_text(ASK.replace("ENGINES", engines))
    told = []
    handler = partial(_Server, told=told, isolated=isolated, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/ask.html"
        flags = ["--headless", "--no-sandbox", "--enable-unsafe-webgpu"]
        # A graphics card in software.
        flags += ["--use-webgpu-adapter=swiftshader", f"--user-data-dir={tmp_path}/c"]
        with subprocess.Popen([CHROMIUM, *flags, address]) as browser:
            for _ in range(1200):
                if told or browser.poll() is not None:
                    break
                threading.Event().wait(0.1)
            browser.terminate()
        server.shutdown()
    [answers] = told
    assert isinstance(answers, list), answers[:300]
    on_processor, on_card = answers
    # XNNPACK in another compilation; and a card adds in another order.
    np.testing.assert_allclose(on_processor, expected, atol=1e-6)
    np.testing.assert_allclose(on_card, expected, atol=1e-5)
