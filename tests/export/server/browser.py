"""Chromium, used the way a person would use it.

It is spoken to in its DevTools protocol over two pipes: JSON, each message ended by a
zero byte.
"""

import base64
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time

import numpy as np

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
_FLAGS = "--headless=new --no-sandbox --disable-gpu --remote-debugging-pipe"


class Browser:
    """A page of a Chromium that listens at file 3 and answers at file 4."""

    def __init__(self, to, from_it):
        self._to, self._from, self._read = to, from_it, b""
        self._numbers, self._session = itertools.count(1), {}
        page = self.do("Target.createTarget", url="about:blank")["targetId"]
        session = self.do("Target.attachToTarget", targetId=page, flatten=True)
        self._session = {"sessionId": session["sessionId"]}

    def do(self, method, **values):
        number = next(self._numbers)
        asked = {"id": number, "method": method, "params": values, **self._session}
        os.write(self._to, json.dumps(asked).encode() + b"\0")
        while True:
            message, whole, rest = self._read.partition(b"\0")
            if not whole:
                more = os.read(self._from, 1 << 20)
                assert more, "the browser has ended"
                self._read += more
                continue
            self._read, answer = rest, json.loads(message)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def run(self, script, **more):
        """Returns what a function with this body returns."""
        arguments = {"returnByValue": True, **more}
        found = self.do(
            "Runtime.evaluate", expression=f"(() => {{{script}}})()", **arguments
        )
        assert "exceptionDetails" not in found, found
        result = found["result"]
        return result.get("value") if arguments["returnByValue"] else result

    def open(self, url):
        self.do("Page.navigate", url=url)
        self._wait(lambda: self.run("return document.readyState"), "complete".__eq__)

    def choose_file(self, path):
        script = "return document.getElementById('file')"
        element = self.run(script, returnByValue=False)["objectId"]
        self.do("DOM.setFileInputFiles", files=[str(path)], objectId=element)

    def said(self, until):
        script = "return document.getElementById('said').textContent"
        return self._wait(lambda: self.run(script), until)

    def _wait(self, get, until):
        for _ in range(200):
            found = get()
            if until(found):
                return found
            time.sleep(0.1)
        raise AssertionError(found)

    def classes(self):
        return self.run(
            "return [...document.querySelectorAll('#classes li')].map("
            "(li) => [...li.querySelectorAll('span')].map((s) => s.textContent))"
        )

    def drawn(self):
        """Returns the pixels of the canvas, uint8 `(height, width, 3)`."""
        size, values = self.run(
            "const canvas = document.getElementById('overlay');"
            "const [h, w] = [canvas.height, canvas.width];"
            "return [[h, w], canvas.hidden ? [] : Array.from("
            "canvas.getContext('2d').getImageData(0, 0, w, h).data)]"
        )
        return np.array(values, "uint8").reshape(*size, 4)[..., :3]

    def screenshot(self, file):
        file.write_bytes(base64.b64decode(self.do("Page.captureScreenshot")["data"]))


@contextlib.contextmanager
def open_browser():
    theirs_in, to = os.pipe()
    from_it, theirs_out = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        # The shell gives the pipes the numbers that the flag means.
        command = f'exec "{CHROMIUM}" {_FLAGS} "--user-data-dir={folder}"'
        process = subprocess.Popen(
            ["bash", "-c", f"{command} 3<&{theirs_in} 4>&{theirs_out}"],
            pass_fds=(theirs_in, theirs_out),
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            yield Browser(to, from_it)
        finally:
            process.kill()
            process.wait()
            os.close(to)
            os.close(from_it)
