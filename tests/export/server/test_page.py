"""The page on `/`, used in Chromium the way a person would use it.

ChromeDriver is spoken to in WebDriver's own protocol, which is JSON over HTTP.
"""

import base64
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

requests = pytest.importorskip("requests")
pytest.importorskip("tensorflow_serving", reason="needs the extra serve")
pytest.importorskip("uvicorn", reason="needs the extra serve")

from tests.export.server.server_support import command, free_port, write_version  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("chromedriver") and shutil.which("chromium")),
        reason="there is no chromium and chromedriver",
    ),
]
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """A session of ChromeDriver."""

    def __init__(self, port):
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu"]
        options = {"args": arguments, "binary": shutil.which("chromium")}
        capabilities = {
            "alwaysMatch": {
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL"},
            }
        }
        self._url = f"http://127.0.0.1:{port}/session"
        self._url += f"/{self.do('', capabilities=capabilities)['sessionId']}"

    def do(self, path, **values):
        response = requests.post(self._url + path, json=values, timeout=60)
        assert response.ok, response.text
        return response.json()["value"]

    def run(self, script, *arguments):
        return self.do("/execute/sync", script=script, args=list(arguments))

    def choose_file(self, path):
        element = self.do("/element", using="css selector", value="#file")[_ELEMENT]
        self.do(f"/element/{element}/value", text=str(path))

    def said(self, until):
        for _ in range(200):
            text = self.run("return document.getElementById('said').textContent")
            if until(text):
                return text
            time.sleep(0.1)
        raise AssertionError(text)

    def classes(self):
        return self.run(
            "return [...document.querySelectorAll('#classes li')].map("
            "(li) => [...li.querySelectorAll('span')].map((s) => s.textContent))"
        )

    def screenshot(self, file):
        answer = requests.get(self._url + "/screenshot", timeout=60).json()["value"]
        file.write_bytes(base64.b64decode(answer))

    def close(self):
        requests.delete(self._url, timeout=60)


@pytest.fixture
def browser():
    port = free_port()
    driver = subprocess.Popen(
        ["chromedriver", f"--port={port}"], stdout=subprocess.PIPE
    )
    try:
        for _ in range(100):
            try:
                requests.get(f"http://127.0.0.1:{port}/status", timeout=5)
                break
            except requests.ConnectionError:
                time.sleep(0.1)
        browser = Browser(port)
        yield browser
        browser.close()
    finally:
        driver.kill()
        driver.wait()
        driver.stdout.close()


def test_a_person_chooses_and_drops_images_and_sees_classes(
    browser, photographs, tmp_path
):
    (tmp_path / "toy").mkdir()
    write_version(tmp_path / "toy", 1)
    image = tmp_path / "image.png"
    # The model's first class is the one that the file's length says.
    contents = photographs[0] + bytes(-len(photographs[0]) % 3 + 1)
    image.write_bytes(contents)
    flags = (f"--model_dir={tmp_path / 'toy'}", "--model_name=<b>toy")
    with command(*flags, log=tmp_path / "log") as server:
        browser.do("/url", url=server.url + "/")
        browser.choose_file(image)
        browser.said(lambda text: text.startswith("Predicted in"))
        expected = [["dög", "75.0 %"], ["owl", "50.0 %"], ["cat", "25.0 %"]]
        assert browser.classes() == expected
        shown = browser.run("return document.getElementById('image').naturalWidth")
        assert shown == 60
        file = Path(os.environ.get("SCREENSHOT", tmp_path / "page.png"))
        browser.screenshot(file)
        assert file.read_bytes().startswith(b"\x89PNG")
        # Dropped from outside: an empty file, of which the model says so.
        browser.run(
            "const data = new DataTransfer(); data.items.add(new File([], 'e.jpg'));"
            "document.dispatchEvent(new DragEvent('drop', {dataTransfer: data}))"
        )
        browser.said(lambda text: text == "This file is empty.")
        assert browser.classes() == []
        broken = tmp_path / "broken.png"
        broken.write_bytes(b"NaN")
        browser.choose_file(broken)
        browser.said(lambda text: text == "The model returned NaN instead of a score.")
        assert browser.classes() == []
        asked = browser.run(
            "return performance.getEntriesByType('resource').map((e) => e.name)"
        )
        assert asked
        assert all(name.startswith((server.url, "blob:", "data:")) for name in asked)
        server.terminate()
        browser.choose_file(image)
        browser.said(lambda text: text.startswith("Prediction failed"))
