"""Runs the blocks of every page, in order, in an empty folder with stand-ins.

There are photographs (`photos/`, `photo.jpg`), arrays of images, the leavings of a
short training run (`runs/demo/`), instead of published weights files of random ones,
read in by the same way, and instead of the hub a server on this machine. The blocks
of a page share their names, as the reader's session would.
"""

from __future__ import annotations

import functools
import importlib
import shlex
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.documentation.blocks import ALL, COMMANDS, Block, commands
from tests.documentation.command_lines import module_of
from tests.keras_convnext.test_hub import Hub
from tests.photos import write_photos

NOT_RUN = [block for block in ALL if block.directive == "not run"]
RUN = [
    block
    for block in ALL
    if (block.language == "python" and block.directive != "not run")
    or (block.language in COMMANDS and block.directive in ("run", "run with"))
]
RUN_PAGES = list(dict.fromkeys(block.page for block in RUN))
# What is in no environment with the lowest versions.
OPTIONAL = ("keras_hub", "keras_tuner")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def short_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one epoch on the digits leaves."""
    from training import main

    place = tmp_path_factory.mktemp("short_run") / "run"
    arguments = ["--recipe=demo", "--data=digits", f"--workdir={place}"]
    short = ["--set", "epochs=1", "--set", "warmup_epochs=0"]
    assert main.main(["train", *arguments, *short]) == 0
    return place


@pytest.fixture
def scratch(short_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the stand-ins, and random weights in place of published ones."""
    for folder in ("photos", "flowers/train", "flowers/val"):
        write_photos(tmp_path / folder)
    for name in ("photo", "rose", "tulip"):
        Image.new("RGB", (80, 60), (120, 90, 30)).save(tmp_path / f"{name}.jpg")
    np.savez(tmp_path / "cifar10.npz", **arrays())
    shutil.copytree(short_run, tmp_path / "runs" / "demo")
    monkeypatch.chdir(tmp_path)
    # By its module: `keras_convnext.weights.load` is also a function.
    loading = importlib.import_module("keras_convnext.weights._load")
    monkeypatch.setattr(loading, "fetch", random_weights)
    starting = importlib.import_module("training.engine.pretrained")
    monkeypatch.setattr(starting, "fetch_file", random_weights)
    return tmp_path


def arrays() -> dict[str, np.ndarray]:
    """Two dozen images of noise in the form of `--data=array:`."""
    random = np.random.default_rng(0)
    return {
        f"{part}_{what}": random.integers(0, below, shape, dtype=np.uint8)
        for part, count in (("train", 16), ("test", 8))
        for what, below, shape in (
            ("images", 256, (count, 32, 32, 3)),
            ("labels", 2, (count,)),
        )
    }


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A server that acts as the hub, and is what the library takes for it."""
    from keras_convnext import hub

    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        there = {"endpoint": server.address}
        push = functools.partial(hub.push_to_hub, **there)
        pull = functools.partial(hub.pull_from_hub, **there, cache=tmp_path / "hf")
        monkeypatch.setattr(hub, "push_to_hub", push)
        monkeypatch.setattr(hub, "pull_from_hub", pull)
        yield server
        server.shutdown()
        thread.join()


def random_weights(record: object) -> Path:
    """Returns a file of random weights of a published checkpoint's shape."""
    import keras_convnext

    path = Path(f"{record.name}.safetensors").resolve()  # type: ignore[attr-defined]
    if not path.exists():
        arguments = (
            {"classes": record.classes}  # type: ignore[attr-defined]
            if record.classes  # type: ignore[attr-defined]
            else {"include_top": False}
        )
        model = keras_convnext.create(record.variant, **arguments)  # type: ignore[attr-defined]
        keras_convnext.save_weights_as(model, path, "timm")
    return path


def run_command(words: list[str], more: str) -> None:
    """Runs one of the project's commands within this process."""
    module, arguments = module_of(words)
    assert module is not None, f"only the project's commands are run, not {words}"
    more_words = shlex.split(more)
    given = {word.partition("=")[0] for word in more_words if word.startswith("--")}
    kept = [w for w in arguments if w.partition("=")[0] not in given - {"--set"}]
    code = importlib.import_module(module).main([module, *kept, *more_words])
    assert code == 0, words


@pytest.mark.parametrize("page", RUN_PAGES)
@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.filterwarnings("ignore:The weights .* are licensed:UserWarning")
@pytest.mark.usefixtures("scratch", "server")
def test_the_blocks_of_a_page_run_one_after_another(page: str) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    blocks = [block for block in RUN if block.page == page]
    for name in OPTIONAL:
        if any(f"import {name}" in block.text for block in blocks):
            pytest.importorskip(name)
    for block in blocks:
        if block.language == "python":
            lines = "\n" * (block.line - 1)
            exec(compile(lines + block.text, block.page, "exec"), names)
        else:
            for words in commands(block):
                run_command(words, block.argument)


@pytest.mark.parametrize("block", NOT_RUN, ids=str)
def test_a_block_that_is_not_run_says_why(block: Block) -> None:
    pytest.skip(block.argument)
