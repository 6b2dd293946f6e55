"""Readers return what was written, whatever the format and the number's type."""

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from keras_convnext.weights.errors import BadWeightsFileError
from keras_convnext.weights.readers import open_tensors

HERE = Path(__file__).parent
NUMBERS = np.arange(24, dtype=np.float32)
SHARED = NUMBERS.reshape(4, 6)
# The state dict that make_torch_files.py saves; all of it exact in its type.
EXPECTED = {
    "float32": NUMBERS,
    "float16": (NUMBERS / 8).astype(np.float16),
    "bfloat16": (NUMBERS / 8).astype(ml_dtypes.bfloat16),
    "float64": NUMBERS.astype(np.float64) / 3,
    "shared": SHARED,
    "transposed": SHARED.T,
    "slice": SHARED[1:3, ::2],
    "parameter": NUMBERS[:5],
    "empty": np.zeros((0, 3), np.float32),
    "scalar": np.float32(2.5),
    "count": np.int64(7),
}


@pytest.mark.parametrize("name", ["zip.pth", "legacy.pth"])
def test_torchs_files_are_read_without_torch(name: str) -> None:
    with open_tensors(HERE / "torch_files" / name) as file:
        assert set(file.tensors) == set(EXPECTED)
        for tensor, expected in EXPECTED.items():
            assert file.tensors[tensor].shape == expected.shape
            found = file.read(tensor)
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)


def test_the_notes_of_a_modules_state_dict_are_no_tensors() -> None:
    with open_tensors(HERE / "torch_files" / "module.pth") as file:
        assert {n: i.shape for n, i in file.tensors.items()} == {
            "weight": (2, 3),
            "bias": (2,),
        }
        # torch.manual_seed(0); torch.nn.Linear(3, 2), as torch prints it.
        np.testing.assert_allclose(
            file.read("weight")[0], [-0.0043, 0.3097, -0.4752], atol=5e-5
        )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_safetensors_of_every_precision_are_read(dtype: str, tmp_path: Path) -> None:
    values = SHARED.astype(np.dtype(getattr(ml_dtypes, dtype, dtype)))
    safetensors.numpy.save_file({"a": values}, tmp_path / "a.safetensors")
    with open_tensors(tmp_path / "a.safetensors") as file:
        found = file.read("a")
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


def write_shards(folder: Path, **weight_map: str) -> Path:
    safetensors.numpy.save_file({"a": NUMBERS}, folder / "m-00001-of-00002.safetensors")
    safetensors.numpy.save_file({"b": SHARED}, folder / "m-00002-of-00002.safetensors")
    index = folder / "m.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return index


@pytest.mark.parametrize("as_folder", [True, False])
def test_shards_are_read_through_their_index(as_folder: bool, tmp_path: Path) -> None:
    index = write_shards(
        tmp_path, a="m-00001-of-00002.safetensors", b="m-00002-of-00002.safetensors"
    )
    with open_tensors(tmp_path if as_folder else index) as file:
        np.testing.assert_array_equal(file.read("a"), NUMBERS)
        np.testing.assert_array_equal(file.read("b"), SHARED)


@pytest.mark.parametrize("as_folder", [True, False])
def test_shards_of_torchs_files_are_read_too(as_folder: bool, tmp_path: Path) -> None:
    module = ("weight", "bias")
    shards = {"zip.pth": tuple(EXPECTED), "module.pth": module}
    weight_map = {}
    for number, (name, tensors) in enumerate(shards.items(), 1):
        shard = f"pytorch_model-0000{number}-of-00002.bin"
        (tmp_path / shard).write_bytes((HERE / "torch_files" / name).read_bytes())
        weight_map.update(dict.fromkeys(tensors, shard))
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    with open_tensors(tmp_path if as_folder else index) as file:
        assert file.kind == "sharded torch"
        assert set(file.tensors) == {*EXPECTED, *module}
        for tensor, expected in EXPECTED.items():
            np.testing.assert_array_equal(file.read(tensor), expected)


@pytest.mark.parametrize("name", ["a.bin.index.json", "a.safetensors.index.json"])
def test_an_index_is_no_shard_of_its_own(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(json.dumps({"weight_map": {"a": name}}))
    # safetensors' reader, or none: never this one again.
    words = r"cannot be read|none of the formats"
    with pytest.raises(BadWeightsFileError, match=words):
        open_tensors(tmp_path / name)


@pytest.mark.parametrize(
    ("weight_map", "words"),
    [
        ({"a": "../m-00001-of-00002.safetensors"}, "not beside it"),
        ({"a": "/etc/passwd"}, "not beside it"),
        ({"a": "missing.safetensors"}, "is not beside it"),
        ({"b": "m-00001-of-00002.safetensors"}, "does not say what its shards hold"),
        ({"a": 3}, "not an index"),
    ],
)
def test_an_index_that_lies_is_refused(
    weight_map: dict, words: str, tmp_path: Path
) -> None:
    with pytest.raises(BadWeightsFileError, match=words):
        open_tensors(write_shards(tmp_path, **weight_map))


def test_npz_files_are_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{"stem/kernel": SHARED, "b": NUMBERS.astype("f8")})
    np.savez_compressed(tmp_path / "b.npz", **{"stem/kernel": SHARED})
    for name in ("a.npz", "b.npz"):
        with open_tensors(tmp_path / name) as file:
            np.testing.assert_array_equal(file.read("stem/kernel"), SHARED)
