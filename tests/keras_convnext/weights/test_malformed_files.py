"""Files that are damaged, or mean harm: refused at once, in one line, and nothing run.

The files are made here, next to what each would do to a careless reader.
"""

import contextlib
import io
import random
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import safetensors.numpy

from keras_convnext import weights
from keras_convnext.weights.errors import BadWeightsFileError, WeightsMismatchError
from tests.keras_convnext.weights.malformed import (
    MAKERS,
    TRACE,
    entry,
    safetensors_header,
    tensor_pickle,
)

HERE = Path(__file__).parent
MOST_SECONDS = 5.0
# What Python and its libraries take on the way to an error, whatever the file.
SLACK_BYTES = 8 << 20
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


WHOLE = ("a.safetensors", "a.h5", "a.npz", "a.keras", "a.weights.h5", "zip", "legacy")


@pytest.fixture(scope="module")
def model(mini: Callable) -> keras.Model:
    return mini(classes=3)


@pytest.fixture(autouse=True)
def _nothing_was_run() -> Iterator[None]:
    yield
    assert not Path(f"/tmp/{TRACE}").exists()


def memory(entry: str) -> int:
    """Returns "VmRSS" (now) or "VmHWM" (the peak) of this process in bytes."""
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(lines[entry].split()[0]) * 1024


def reset_peak() -> int:
    """Lets the peak begin anew; returns the memory that is resident now, in bytes."""
    if not CLEAR.exists():
        return 0
    CLEAR.write_text("5")
    return memory("VmRSS")


def refused(model: keras.Model, path: Path) -> str:
    """Loads a bad file; returns the error's text, having checked all the rest."""
    before = [keras.ops.convert_to_numpy(variable) for variable in model.weights]
    resident = reset_peak()
    began = time.process_time()
    with pytest.raises((BadWeightsFileError, WeightsMismatchError)) as caught:
        weights.load(model, path)
    assert time.process_time() - began < MOST_SECONDS
    if CLEAR.exists():  # Linux alone keeps a peak that can begin anew
        assert memory("VmHWM") - resident < path.stat().st_size + SLACK_BYTES
    for variable, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)
    text = str(caught.value)
    assert all(each.isprintable() or each == "\n" for each in text)
    assert "\n" not in text or isinstance(caught.value, WeightsMismatchError)
    return text


@pytest.mark.parametrize("name", MAKERS)
def test_a_malformed_file_is_refused(
    name: str, model: keras.Model, tmp_path: Path
) -> None:
    MAKERS[name](tmp_path / name)
    assert name in refused(model, tmp_path / name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("os_system.pth", "posix.system"),
        ("os_system_4.pth", "posix.system"),
        ("eval.pth", "builtin__.eval"),
        ("object.pth", "pathlib"),
        ("legacy_late_os_system.pth", "posix.system"),
        ("external_link.h5", "is a link to"),
        ("external_data.h5", "lie in another file"),
        ("traversal.pth", "leads out of it"),
        ("absurd_shape.pth", "reaches beyond"),
        ("missing_storage.pth", "no numbers in the file"),
    ],
)
def test_the_error_says_what_was_tried(
    name: str, words: str, model: keras.Model, tmp_path: Path
) -> None:
    MAKERS[name](tmp_path / name)
    assert words in refused(model, tmp_path / name)


@pytest.mark.parametrize(
    ("word", "numpy_name", "size_bytes"),
    [("I32", "int32", 4), ("U8", "uint8", 1), ("F8_E4M3", "float8_e4m3fn", 1)],
)
def test_numbers_of_a_type_that_is_not_loaded_are_told_by_their_type(
    word: str, numpy_name: str, size_bytes: int, model: keras.Model, tmp_path: Path
) -> None:
    path = tmp_path / "a.safetensors"
    safetensors_header(
        path,
        {"stem_norm/gamma": entry([8], 0, 8 * size_bytes, word)},
        bytes(8 * size_bytes),
    )
    assert f"stem_norm/gamma holds {numpy_name}," in refused(model, path)


def write_whole(model: keras.Model, kind: str, folder: Path) -> Path:
    if kind in ("zip", "legacy"):
        return HERE / "torch_files" / f"{kind}.pth"
    path = folder / kind
    if kind == "a.weights.h5":
        model.save_weights(path)
    elif kind == "a.keras":
        model.save(path)
    elif kind == "a.h5":
        weights.save_weights_as(model, path, dialect="keras_applications")
    else:
        weights.save_weights_as(model, path, dialect="keras_convnext")
    return path


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_that_was_cut_short_is_refused_wherever_it_was_cut(
    kind: str, model: keras.Model, tmp_path: Path
) -> None:
    content = write_whole(model, kind, tmp_path).read_bytes()
    rng = random.Random(0)
    for cut in (
        0,
        1,
        len(content) - 1,
        *(rng.randrange(len(content)) for _ in range(5)),
    ):
        path = tmp_path / f"cut{cut}.bin"
        path.write_bytes(content[:cut])
        refused(model, path)


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_with_noise_in_its_middle_never_brings_down_more_than_itself(
    kind: str, model: keras.Model, tmp_path: Path
) -> None:
    content = bytearray(write_whole(model, kind, tmp_path).read_bytes())
    rng = random.Random(1)
    for attempt in range(8):
        damaged = bytearray(content)
        for _ in range(4):
            damaged[rng.randrange(min(len(damaged), 4096))] = rng.randrange(256)
        path = tmp_path / f"{attempt}.bin"
        path.write_bytes(damaged)
        # Noise may hit padding or a number's last bit; then it loads.
        with contextlib.suppress(BadWeightsFileError, WeightsMismatchError):
            weights.load(model, path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_refused_naming_the_tensor(
    value: float, model: keras.Model, tmp_path: Path
) -> None:
    path = tmp_path / "a.safetensors"
    weights.save_weights_as(model, path, dialect="timm")
    tensors = safetensors.numpy.load_file(path)
    tensors["stages.2.blocks.1.conv_dw.weight"][3, 0, 2, 2] = value
    safetensors.numpy.save_file(tensors, path)
    assert "stages.2.blocks.1.conv_dw.weight" in refused(model, path)


def test_a_file_that_lacks_a_group_is_refused_naming_it(
    model: keras.Model, tmp_path: Path
) -> None:
    path = tmp_path / "a.h5"
    weights.save_weights_as(model, path, dialect="keras_applications")
    with h5py.File(path, "a") as file:
        del file["stage_1_block_0_layernorm"]
    message = refused(model, path)
    assert "stage1_block0_norm/gamma" in message
    assert "stage1_block0_norm/beta" in message


def test_a_member_that_is_there_twice_is_refused(
    model: keras.Model, tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", tensor_pickle("4"))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("archive/data.pkl", b".")
    (tmp_path / "a.pth").write_bytes(buffer.getvalue())
    assert "several members of the same name" in refused(model, tmp_path / "a.pth")
