"""XLA's programs in the user's cache: where they lie, and that they change nothing."""

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import pytest

from keras_convnext import _compiled

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kept on Linux alone")


def kept(monkeypatch, cache, system="linux", **environment):
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    _compiled.keep_of_tensorflow(environment, system)
    flags = environment.get("TF_XLA_FLAGS")
    return flags and flags.partition("--tf_xla_persistent_cache_directory=")[2]


def test_a_folder_for_each_version_and_processor_is_made(monkeypatch, tmp_path):
    named = kept(monkeypatch, tmp_path)
    folder = Path(named)
    assert folder.is_dir()
    version = f"tensorflow-{metadata.version('tensorflow')}"
    assert folder.parent == tmp_path / "keras_convnext" / version
    monkeypatch.setattr(_compiled.platform, "machine", lambda: "another")
    assert kept(monkeypatch, tmp_path) != named


def test_who_has_set_the_variable_has_decided(monkeypatch, tmp_path):
    assert kept(monkeypatch, tmp_path, TF_XLA_FLAGS="") == ""
    assert not list(tmp_path.iterdir())


def test_nothing_is_kept_where_writing_could_fail(monkeypatch, tmp_path):
    assert kept(monkeypatch, tmp_path, system="darwin") is None
    assert kept(monkeypatch, tmp_path / "a folder") is None

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    with monkeypatch.context() as patch:
        patch.setattr(_compiled, "cache_home", homeless)
        assert kept(monkeypatch, tmp_path) is None
    (tmp_path / "file").touch()
    assert kept(monkeypatch, tmp_path / "file") is None
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2**20))
    assert kept(monkeypatch, tmp_path) is None


def test_a_cache_that_has_grown_large_begins_anew(monkeypatch, tmp_path):
    folder = Path(kept(monkeypatch, tmp_path))
    for number in range(3):
        (folder / f"{number}.pb").write_bytes(bytes(100))
    kept(monkeypatch, tmp_path)
    assert len(list(folder.iterdir())) == 3
    monkeypatch.setattr(_compiled, "_MOST_BYTES", 299)
    kept(monkeypatch, tmp_path)
    assert not list(folder.iterdir())


PROGRAM = """
import hashlib
from keras_convnext import _cli
_cli.import_tensorflow()
import keras, numpy as np, tensorflow as tf
import keras_convnext
keras.utils.set_random_seed(0)
model = keras_convnext.create(
    "convnextv2_atto", weights=None, input_shape=(64, 64, 3), classes=10
)
model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
images = np.random.default_rng(0).uniform(0, 255, (4, 64, 64, 3)).astype("float32")
for _ in range(2):
    model.train_on_batch(images, np.arange(4))
bits = b"".join(each.tobytes() for each in model.get_weights())
print(hashlib.sha256(bits).hexdigest())
"""


@pytest.mark.slow  # three processes that load TensorFlow and compile
def test_kept_programs_are_used_and_change_no_bit(tmp_path):
    def run(**variables):
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), **variables}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def files():
        return {
            file.name: file.stat().st_mtime_ns
            for file in (tmp_path / "keras_convnext").rglob("*")
            if file.is_file()
        }

    compiled = run(TF_XLA_FLAGS="")
    assert not files()
    assert run() == compiled
    written = files()
    assert written
    assert run() == compiled
    assert files() == written
