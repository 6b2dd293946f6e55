"""Writes small files as torch writes them, for tests where there is no torch.

    python make_torch_files.py

Each holds the same state dict, nested as Meta nests it: float32, float16, bfloat16
and float64 tensors, two that share a storage, a transposed one and a slice.
"""

from collections import OrderedDict
from pathlib import Path

import torch

FOLDER = Path(__file__).with_name("torch_files")


def state() -> OrderedDict:
    numbers = torch.arange(24, dtype=torch.float32)
    shared = numbers.reshape(4, 6)
    return OrderedDict(
        {
            "float32": numbers.clone(),
            "float16": numbers.half() / 8,
            "bfloat16": numbers.bfloat16() / 8,
            "float64": numbers.double() / 3,
            "shared": shared,
            "transposed": shared.t(),
            "slice": shared[1:3, ::2],
            "parameter": torch.nn.Parameter(numbers[:5].clone()),
            "empty": torch.zeros(0, 3),
            "scalar": torch.tensor(2.5),
            "count": torch.tensor(7),
        }
    )


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    content = {"model": state(), "epoch": 3, "notes": ["a", ("b", 1.5)], "flag": True}
    torch.save(content, FOLDER / "zip.pth")
    torch.save(content, FOLDER / "legacy.pth", _use_new_zipfile_serialization=False)
    # A module's own state dict carries notes on its versions beside the tensors.
    torch.manual_seed(0)
    torch.save(torch.nn.Linear(3, 2).state_dict(), FOLDER / "module.pth")


if __name__ == "__main__":
    main()
