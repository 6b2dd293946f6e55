"""The adapter's command as it is typed, in a process that knows only a hub's address.

The hub is a server on this machine; the weights that it has are random. What the
command prints is then done as it is printed.
"""

import json
import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import keras_convnext
from tests.keras_convnext.test_hub import Hub

ROOT = Path(__file__).resolve().parents[2]
# A small one: what is done with it does not hang on its size.
CHECKPOINT = "convnext_atto.d2_in1k"
COMMAND = (
    f"--recipe=finetune_small --weights={CHECKPOINT} --data=folder:photos "
    "--workdir=runs/photos"
)
# Images of 224 pixels and fifteen epochs would take minutes.
SMALL = "--set=size_px=32 --set=epochs=4 --set=frozen_epochs=2 --set=global_batch=6"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A hub with random weights under the checkpoint's name."""
    path = tmp_path_factory.mktemp("published") / "model.safetensors"
    model = keras_convnext.ConvNeXtAtto(weights=None)
    keras_convnext.save_weights_as(model, path, "timm")
    with Hub() as server:
        server.repositories[f"timm/{CHECKPOINT}"] = {path.name: path.read_bytes()}
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def at_home(tmp_path_factory):
    """A folder with photographs: twelve bright ones and four dark ones."""
    home = tmp_path_factory.mktemp("home")
    random = np.random.default_rng(0)
    for name, low, high, count in (("bright", 128, 256, 12), ("dark", 0, 128, 4)):
        (home / "photos" / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(low, high, (64, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(home / "photos" / name / f"{number}.png")
    return home


def shell(words, at_home, server):
    """Runs words as typed in the folder; this Python is the first on the path."""
    environment = {
        **{k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"},
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HF_ENDPOINT": server.address,
        "HF_HOME": str(at_home / "hf"),
        "KERAS_CONVNEXT_HOME": str(at_home / "cache"),
    }
    done = subprocess.run(
        words,
        shell=True,
        cwd=at_home,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def trained(at_home, server):
    return shell(f"python -m training.main {COMMAND} {SMALL}", at_home, server)


def test_it_names_what_it_found_and_what_it_did(trained, at_home):
    told = trained.stdout
    assert "13 training and 3 validation images of 2 classes" in told
    assert (
        "the classes are uneven, 3.33 to 1: 10 images of bright and 3 of dark" in told
    )
    assert "the classifier (head_dense) stays as it was built" in told
    assert f"from {CHECKPOINT}, 4 epochs (only the head in the first 2)" in told
    run = at_home / "runs" / "photos"
    assert (run / "labels.txt").read_text() == "bright\ndark\n"
    recipe = json.loads((run / "recipe.json").read_text())
    assert (recipe["layer_decay"], recipe["keep"]) == (0.8, "best")
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["top1"] == metrics["best_top1"]
    page = (run / "report.html").read_text()
    assert "The classes are uneven, 3.33 to 1" in page
    assert "export.main --model=runs/photos/model.keras" in page


def test_it_says_nothing_on_stderr_but_how_far_it_is(trained):
    lines = trained.stderr.splitlines()
    assert [line for line in lines if not line.startswith("epoch")] == []


def test_what_it_says_to_do_next_can_be_done_as_it_is_said(trained, at_home, server):
    said = dict(
        line.split("  ", 1)
        for line in trained.stdout.splitlines()
        if line.startswith(("predict ", "explain ", "export "))
    )
    assert set(said) == {"predict", "explain", "export"}
    images = shlex.join(["photos/dark", "photos/bright/0.png"])
    for words in said.values():
        done = shell(words.replace("IMAGE...", images), at_home, server)
        assert done.stdout
        assert done.stderr == ""
    run = at_home / "runs" / "photos"
    assert len(list((run / "seen").glob("*.png"))) == 5
    assert (run / "export" / "saved_model" / "1" / "saved_model.pb").is_file()
