"""Asks every command about one saved model, and holds the answers against NumPy's."""

from __future__ import annotations

import contextlib
import io
import json
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import requests
from PIL import Image

from export import main as export_main
from export import serve_main
from tests.forms.forms import COMMANDS, Form
from tests.forms.networks import SHAPE
from training import evaluate_main, explain_main, predict_main

IMAGES = 6
RIGHT = "works"


@dataclass(frozen=True)
class Case:
    """A saved model and what is known of it.

    Attributes:
        form: Which it is.
        folder: Where `m.keras`, `labels.txt` and the images lie.
        images: uint8 `(IMAGES, height, width, channels)`.
        expected: Probabilities `(IMAGES, classes)` by Keras and NumPy.
        labels: Names of the classes; two for one output.
    """

    form: Form
    folder: Path
    images: np.ndarray
    expected: np.ndarray
    labels: tuple[str, ...]

    @property
    def shares(self) -> np.ndarray:
        """The probability of each label; both of the two of one output."""
        if self.expected.shape[-1] > 1:
            return self.expected
        return np.concatenate([1 - self.expected, self.expected], axis=-1)


def prepare(form: Form, folder: Path) -> Case:
    """Builds and saves a form, asks Keras itself, and writes labels and images.

    Args:
        form: Which.
        folder: An empty one.
    """
    model = form.make()
    given = getattr(model, "input_shape", (None, *SHAPE))
    shape = tuple(side or 224 for side in given[1:])
    random = np.random.default_rng(0)
    # Smooth and of different colors, so that answers differ.
    coarse = random.integers(0, 256, (IMAGES, 4, 4, shape[-1]), np.uint8)
    images = coarse.repeat(shape[0] // 4, axis=1).repeat(shape[1] // 4, axis=2)
    answers = model.predict(images.astype("float32"), verbose=0)
    expected = np.zeros((IMAGES, 5))
    if isinstance(answers, np.ndarray) and answers.ndim == 2:
        expected = form.meaning(answers.astype("float64"))
    count = max(expected.shape[-1], 2)
    labels = tuple(f"name {number}" for number in range(count))
    model.save(folder / "m.keras")
    (folder / "labels.txt").write_text("".join(f"{name}\n" for name in labels))
    for number, image in enumerate(images):
        squeezed = image[..., 0] if image.shape[-1] == 1 else image
        Image.fromarray(squeezed).save(folder / f"{number}.png")
    return Case(form, folder, images, expected, labels)


def ask_all(case: Case) -> dict[str, str]:
    """Returns, for each command, `RIGHT` or the line with which it refuses.

    Args:
        case: What `prepare` made.

    Raises:
        AssertionError: An answer is wrong, or a refusal is not one line.
    """
    return {name: _ask(case, name) for name in COMMANDS}


def _ask(case: Case, name: str) -> str:
    return _COMMANDS[name](case)


def _run(main: Callable[[list[str]], int], *arguments: str) -> tuple[int, str, str]:
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = main(["command", *arguments])
    return code, out.getvalue(), errors.getvalue()


def _refusal(errors: str) -> str:
    lines = [line for line in errors.splitlines() if line.strip()]
    assert "Traceback" not in errors, errors
    assert lines, "refused without a word"
    # Notices may stand before it.
    return lines[-1]


def _images(case: Case) -> list[str]:
    return [str(case.folder / f"{number}.png") for number in range(IMAGES)]


def _close(case: Case, found: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(found, wanted, atol=case.form.tolerance)


def _export(case: Case) -> str:
    import tensorflow as tf

    out = case.folder / "export"
    code, _, errors = _run(
        export_main.main,
        f"--model={case.folder}/m.keras",
        f"--out={out}",
        "--format=saved_model",
        *case.form.flags,
    )
    if code:
        assert code == 2, (code, errors)
        assert not out.exists(), "a refused export left files"
        return _refusal(errors)
    loaded = tf.saved_model.load(str(out / "saved_model" / "1"))
    tensors = tf.constant(case.images.astype("float32"))
    found = loaded.signatures["tensors"](tensors=tensors)["probabilities"].numpy()
    _close(case, found, case.expected)
    files = [Path(name).read_bytes() for name in _images(case)]
    told = loaded.signatures["serving_default"](image_bytes=tf.constant(files))
    _close_by_name(case, told["classes"].numpy().astype(str), told["scores"].numpy())
    return RIGHT


def _close_by_name(case: Case, names: np.ndarray, scores: np.ndarray) -> None:
    """Holds scores told by name, of the first images, against the shares."""
    order = np.array([[case.labels.index(name) for name in row] for row in names])
    wanted = np.take_along_axis(case.shares[: len(order)], order, axis=-1)
    _close(case, scores, wanted)


def _predict(case: Case) -> str:
    code, out, errors = _run(
        predict_main.main,
        f"--model={case.folder}/m.keras",
        "--format=json",
        "--top=5",
        *case.form.flags,
        *_images(case),
    )
    if code:
        assert code == 2, (code, errors)
        return _refusal(errors)
    rows = [row["answers"] for row in json.loads(out[out.index("[") :])]
    names = np.array([[answer["class"] for answer in row] for row in rows])
    scores = np.array([[answer["probability"] for answer in row] for row in rows])
    _close_by_name(case, names, scores)
    return RIGHT


def _evaluate(case: Case) -> str:
    # Half of the labels are what the model says, half are the next one.
    said = case.shares.argmax(axis=-1)
    labels = (said + np.arange(IMAGES) % 2) % len(case.labels)
    data = case.folder / "data.npz"
    np.savez(
        data,
        train_images=case.images,
        train_labels=labels,
        test_images=case.images,
        test_labels=labels,
        classes=list(case.labels),
    )
    figures = case.folder / "figures.json"
    code, _, errors = _run(
        evaluate_main.main,
        f"--model={case.folder}/m.keras",
        f"--data=array:{data}",
        f"--out={figures}",
        *case.form.flags,
    )
    if code:
        assert code == 2, (code, errors)
        return _refusal(errors)
    assert json.loads(figures.read_text())["top1"] == np.mean(said == labels)
    return RIGHT


def _explain(case: Case) -> str:
    out = case.folder / "seen"
    code, text, errors = _run(
        explain_main.main,
        f"--model={case.folder}/m.keras",
        f"--out={out}",
        *case.form.flags,
        *_images(case)[:2],
    )
    if code:
        assert code == 2, (code, errors)
        return _refusal(errors)
    assert len(list(out.glob("*.png"))) == 2
    told = re.findall(r"png: (name \d) (\d+\.\d+)%$", text, re.MULTILINE)
    assert len(told) == 2, text
    found = np.array([[float(share) / 100] for _, share in told])
    _close_by_name(case, np.array([[name] for name, _ in told]), found)
    return RIGHT


def _serve(case: Case) -> str:
    from export.server import app

    folder = case.folder / "export" / "saved_model"
    if not folder.is_dir():
        return _export(case)
    values = serve_main.options()
    values(["serve", "--rest_api_port=0", "--port=0", f"--model_dir={folder}"])
    settings = serve_main._settings(values, folder)
    settings = replace(settings, rest_port=_free_port())
    server = app.Server(settings, lambda line: None)
    server.start()
    try:
        reply = requests.post(
            f"http://127.0.0.1:{settings.rest_port}/v1/models/"
            f"{values.model_name}:predict",
            json={
                "signature_name": "tensors",
                "instances": case.images.astype(float).tolist(),
            },
            timeout=60,
        )
    finally:
        server.stop()
    assert reply.status_code == 200, reply.text
    found = np.array(reply.json()["predictions"]).reshape(case.expected.shape)
    _close(case, found, case.expected)
    return RIGHT


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_COMMANDS: dict[str, Callable[[Case], str]] = {
    "export": _export,
    "predict": _predict,
    "evaluate": _evaluate,
    "explain": _explain,
    "serve": _serve,
}
