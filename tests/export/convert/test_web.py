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
from keras_convnext.detection.inference import square_view
from keras_convnext.preprocessing import Preprocessing
from keras_convnext.segmentation import overlay, palette_for
from keras_convnext.segmentation.tiles import label_by_tiles
from tests.checks import balance_classes, raise_gains, tiny_upernet
from tests.color_boxes import write_color_boxes
from tests.export.conftest import smooth_images

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
# Asks the page's model about the pixels in pixels.json, lets the page look at an image,
# and tells the server what came of it.
ASK = """<!DOCTYPE html><iframe src="index.html"></iframe><script type="module">
const tell = (what) => fetch("found", {method: "POST", body: JSON.stringify(what)});
try {
  const inside = document.querySelector("iframe").contentWindow;
  while (!inside.page) await new Promise((resolve) => setTimeout(resolve, 100));
  await inside.page.ready;
  const pixels = await (await fetch("pixels.json")).json();
  const image = await createImageBitmap(await (await fetch("image.png")).blob());
  const found = { threads: inside.crossOriginIsolated };
  for (const engine of ENGINES) {
    inside.page.engine.value = engine;
    await inside.page.load();
    found[engine] = await inside.page.ask(new inside.Float32Array(pixels));
  }
  await inside.page.look(image, image.width, image.height);
  const of = (name) => inside.document.querySelector(name);
  found.rows = [...inside.document.querySelectorAll("li")].map((row) => row.innerText);
  const drawn = of("#drawn");
  found.size = [drawn.height, drawn.width];
  found.drawn = drawn.hidden ? null : Array.from(drawn.getContext("2d")
    .getImageData(0, 0, drawn.width, drawn.height).data);
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
    is_empty = not images.exists()
    images.mkdir(exist_ok=True)
    for number, image in enumerate(smooth_images(4) if is_empty else ()):
        Image.fromarray(np.uint8(image)).save(images / f"{number}.png")
    compared = [f"--images=folder:{images}", "--most_images=4"]
    return command.main(
        ["", f"--model={model}", f"--out={out}", "--format=web", *compared, *flags]
    )


def test_the_folder_has_all_that_the_page_names(
    npm, workdir, exact, tmp_path, monkeypatch
):
    out = tmp_path / "export"
    monkeypatch.setattr(tflite, "convert", lambda *_, **__: exact)
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
    assert export(workdir, out, "--precision=float16") == 0
    about = json.loads((out / "web/model.json").read_text(encoding="utf-8"))
    assert about["file"] == "model_float16.tflite"


@pytest.mark.slow
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


def ask_browser(folder, pixels, image, profile, engines=("wasm",), isolated=False):
    """Returns what the page of a folder says, as Chromium runs it."""
    (folder / "pixels.json").write_text(json.dumps(pixels.ravel().tolist()))
    Image.fromarray(image).save(folder / "image.png")
    (folder / "ask.html").write_text(ASK.replace("ENGINES", json.dumps(engines)))
    told = []
    handler = partial(_Server, told=told, isolated=isolated, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/ask.html"
        flags = ["--headless", "--no-sandbox", "--enable-unsafe-webgpu"]
        # A graphics card in software.
        flags += ["--use-webgpu-adapter=swiftshader", f"--user-data-dir={profile}"]
        with subprocess.Popen([CHROMIUM, *flags, address]) as browser:
            for _ in range(1200):
                if told or browser.poll() is not None:
                    break
                threading.Event().wait(0.1)
            browser.terminate()
        server.shutdown()
    [found] = told
    assert isinstance(found, dict), found[:300]
    assert found["threads"] is isolated
    return found


def ask_litert(file, pixels):
    """Returns the outputs of a TFLite file by their names, flat."""
    asked = Interpreter(str(file)).get_signature_runner()
    return {name: of.ravel() for name, of in asked(tensors=pixels).items()}


in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")


@pytest.mark.network
@in_a_browser
@pytest.mark.parametrize("isolated", [False, True], ids=["one thread", "threads"])
def test_a_browser_answers_as_litert_does(workdir, tmp_path, isolated):
    out = tmp_path / "export"
    assert export(workdir, out) == 0
    folder = out / "web"
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype("float32")
    image = np.uint8(smooth_images(1)[0])
    engines = ["wasm", "webgpu"]
    found = ask_browser(folder, pixels, image, tmp_path / "c", engines, isolated)
    [expected] = ask_litert(folder / "model_float32.tflite", pixels).values()
    # XNNPACK in another compilation; and a card adds in another order.
    np.testing.assert_allclose(found["wasm"]["probabilities"], expected, atol=1e-6)
    np.testing.assert_allclose(found["webgpu"]["probabilities"], expected, atol=1e-5)
    assert len(found["rows"]) == min(5, len(expected))
    assert found["drawn"] is None


@pytest.mark.network
@in_a_browser
def test_a_browser_labels_the_pixels_of_a_whole_image(tmp_path):
    run, out = tmp_path / "run", tmp_path / "export"
    run.mkdir()
    model = balance_classes(raise_gains(tiny_upernet(3)), smooth_images(4, 64))
    model.save(run / "model.keras")
    (run / "labels.txt").write_text("red\ngreen\nblue\n")
    record = {"size_px": 64, "resize": "keep_ratio"}
    (run / "preprocessing.json").write_text(json.dumps(record))
    assert export(run, out) == 0
    file = out / "web/model_float32.tflite"
    pixels = smooth_images(1, 64)
    # Two tiles and a half, which nothing resizes.
    image = np.uint8(np.concatenate(smooth_images(3, 64), axis=1))[:, :160]
    found = ask_browser(out / "web", pixels, image, tmp_path / "c", ["wasm"])
    expected = ask_litert(file, pixels)["classes"]
    # Where two logits are equal but for rounding, a pixel may have the other class.
    assert np.mean(np.array(found["wasm"]["classes"]) == expected) > 0.999
    labels = label_by_tiles(
        lambda tile: ask_litert(file, np.float32(tile))["classes"].reshape(1, 64, 64),
        image,
        64,
        3,
    )
    assert found["size"] == [64, 160]
    drawn = np.reshape(found["drawn"], (64, 160, 4))[..., :3]
    colored = overlay(image, labels, palette_for(["red", "green", "blue"]))
    # A browser's half is 128 of 255.
    assert np.mean(np.abs(drawn - colored).max(axis=-1) <= 3) > 0.999
    shares = {row.split()[0]: float(row.split()[1]) for row in found["rows"]}
    for number, name in enumerate(["red", "green", "blue"]):
        assert shares.get(name, 0) == pytest.approx(
            100 * np.mean(labels == number), abs=0.1
        )


@pytest.mark.network
@in_a_browser
def test_a_browser_finds_the_objects_of_a_whole_image(tmp_path):
    run, out = write_color_boxes(tmp_path / "run", 64), tmp_path / "export"
    images = tmp_path / "images"
    images.mkdir()
    for channel in range(3):
        image = np.zeros((40, 64, 3), "uint8")
        image[8:24, 10 : 30 + channel, channel] = 255
        Image.fromarray(image).save(images / f"{channel}.png")
    assert export(run, out) == 0
    file = out / "web/model_float32.tflite"
    # As the square is filled up below the image.
    pixels = square_view(image, Preprocessing(64))[np.newaxis]
    found = ask_browser(out / "web", pixels, image, tmp_path / "c", ["wasm"])
    expected = ask_litert(file, pixels)
    assert set(found["wasm"]) == set(expected)
    for name, of in expected.items():
        np.testing.assert_allclose(found["wasm"][name], of, atol=1e-5, err_msg=name)
    assert [row.split()[0] for row in found["rows"]] == ["blue"]
    assert found["size"] == [40, 64]
    drawn = np.reshape(found["drawn"], (40, 64, 4))
    # The image's blue and the class's color, one half each, inside of the box.
    half = (palette_for(["red", "green", "blue"])[2] + np.array([0, 0, 255])) / 2
    np.testing.assert_allclose(drawn[16, 20, :3], half, atol=2)
    assert not drawn[2, 2, :3].any()
