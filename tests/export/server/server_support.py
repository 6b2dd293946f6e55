"""A model whose answers are plain arithmetic, and a server that serves it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

ROOT = Path(__file__).resolve().parents[3]
# Limits of the served toy: bytes of a request, seconds that its body may take.
LARGEST = 2**20
BODY_SECONDS = 1.0
LABELS = ("cat", "dög", "owl")

SERVED = "/v1/models/toy:predict"
ROWS = {"instances": [[1.0, 2.0], [-4, 0]]}
# 0.5 x + 3, of version 3.
ROWS_ANSWER = {"predictions": [[3.5, 4.0], [1.0, 3.0]]}


class Arithmetic(tf.Module):
    """Answers that tell which version gave them, and that anybody can work out."""

    def __init__(self, version):
        super().__init__()
        self.version = tf.Variable(float(version))

    def halves(self, x):
        return {"y": 0.5 * x + self.version}

    def pair(self, a, b):
        total = a + tf.cast(b, tf.float32)
        return {"total": total, "raw_bytes": tf.strings.as_string(b)}

    def files(self, image_bytes):
        """Independent labels: 0.75, 0.5, 0.25, the first for length modulo 3.

        Of a file that begins with "NaN" all three scores are that.
        """
        count = tf.size(image_bytes)
        first = tf.strings.length(image_bytes) % len(LABELS)
        is_broken = tf.strings.substr(image_bytes, 0, 3) == "NaN"
        scores = tf.tile(tf.constant([[0.75, 0.5, 0.25]]), [count, 1])
        order = (first[:, None] + tf.range(len(LABELS))[None]) % len(LABELS)
        return {
            "classes": tf.gather(tf.constant(LABELS), order),
            "scores": tf.where(is_broken[:, None], np.nan, scores),
            "status": tf.where(tf.strings.length(image_bytes) > 0, "", "empty"),
        }

    def heights(self, jpegs):
        def height(contents):
            return tf.shape(tf.io.decode_jpeg(contents))[0]

        return {"heights": tf.map_fn(height, jpegs, fn_output_signature=tf.int32)}

    def examples(self, inputs):
        parsed = tf.io.parse_example(
            inputs,
            {
                "size": tf.io.FixedLenFeature([], tf.int64),
                "bonus": tf.io.FixedLenFeature([], tf.float32, default_value=0.0),
            },
        )
        size = tf.cast(parsed["size"], tf.float32) + parsed["bonus"]
        labels = tf.tile(tf.constant([["small", "large"]]), [tf.size(size), 1])
        return {"classes": labels, "scores": tf.stack([1.0 / size, size], axis=1)}

    def values(self, inputs):
        """Half of `size`, and the version; `size` is 6 where it is not given."""
        size = tf.io.FixedLenFeature([1], tf.float32, default_value=[6.0])
        parsed = tf.io.parse_example(inputs, {"size": size})
        return {"outputs": 0.5 * parsed["size"] + self.version}

    def narrow(self, x):
        return {"y": tf.cast(x, tf.float16)}

    def constant(self):
        return {"y": tf.constant([7.0])}

    def choosy(self, x):
        tf.debugging.assert_non_negative(x, "no negative numbers, please")
        return {"root": tf.sqrt(x)}

    def patient(self, n):
        """Counts to the largest number: to two billion in about an hour."""
        most = tf.reduce_max(n)
        (reached,) = tf.while_loop(lambda i: i < most, lambda i: (i + 1,), [0])
        return {"reached": tf.fill(tf.shape(n), reached)}


def write_version(base, version):
    """Writes one version, the way a copy tool should: complete, or not there."""
    module = Arithmetic(version)
    spec = tf.TensorSpec
    functions = {
        "serving_default": (module.halves, [spec([None, 2], tf.float32, "x")]),
        "pair": (
            module.pair,
            [spec([None], tf.float32, "a"), spec([None], tf.int32, "b")],
        ),
        "bytes": (module.files, [spec([None], tf.string, "image_bytes")]),
        "heights": (module.heights, [spec([None], tf.string, "jpegs")]),
        "classify": (module.examples, [spec([None], tf.string, "inputs")]),
        "values": (module.values, [spec([None], tf.string, "inputs")]),
        "narrow": (module.narrow, [spec([None], tf.float32, "x")]),
        "half": (module.narrow, [spec([None], tf.float16, "x")]),
        "constant": (module.constant, []),
        "choosy": (module.choosy, [spec([None], tf.float32, "x")]),
        "patient": (module.patient, [spec([None], tf.int32, "n")]),
    }
    signatures = {
        name: tf.function(function).get_concrete_function(*specs)
        for name, (function, specs) in functions.items()
    }
    hidden = Path(base) / f".{version}"
    tf.saved_model.save(module, str(hidden), signatures=signatures)
    hidden.rename(Path(base) / str(version))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Command:
    """`python -m export.serve_main` in a process of its own."""

    def __init__(self, *flags, log):
        self.rest, self.grpc = free_port(), free_port()
        self.log = Path(log)
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "export.serve_main",
                    f"--rest_api_port={self.rest}",
                    f"--port={self.grpc}",
                    *flags,
                ],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        self._wait_until_ready()

    def _wait_until_ready(self):
        for _ in range(1200):
            if "serve: ready" in self.log.read_text():
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    @property
    def url(self):
        return f"http://127.0.0.1:{self.rest}"

    @property
    def target(self):
        return f"127.0.0.1:{self.grpc}"

    def rss_mb(self):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise AssertionError("no VmRSS")

    def terminate(self, timeout_s=120):
        """Asks it to stop, and returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)


@contextlib.contextmanager
def command(*flags, log):
    """Runs the server while the body runs."""
    server = Command(*flags, log=log)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()


def ask(url, document, path=SERVED):
    """Returns the server's answer to a document over REST."""
    import requests

    return requests.post(url + path, json=document, timeout=20)
