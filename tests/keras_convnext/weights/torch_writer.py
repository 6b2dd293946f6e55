"""Writes what `torch.save` writes, in places where there is no torch."""

import collections
import pickle
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np


def torch_save(content: Any, path: Path, protocol: int = 2) -> None:
    """Writes a value with float32 arrays in it, which become tensors.

    Args:
        content: Dictionaries, lists and objects of any kind.
        path: The file.
        protocol: Of the pickle.
    """
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})
    name = "_rebuild_tensor_v2"
    rebuild = utils._rebuild_tensor_v2 = type(name, (), {"__module__": "torch._utils"})
    arrays: list[np.ndarray] = []

    class Writer(pickle.Pickler):
        def persistent_id(self, item: Any) -> Any:
            if isinstance(item, tuple) and item[:1] == ("kept",):
                return ("storage", torch.FloatStorage, str(item[1]), "cpu", item[2])
            return None

        def reducer_override(self, item: Any) -> Any:
            if not isinstance(item, np.ndarray):
                return NotImplemented
            arrays.append(np.array(item, np.float32, order="C"))
            steps = tuple(step // 4 for step in arrays[-1].strides)
            kept = ("kept", len(arrays) - 1, item.size)
            notes: dict = collections.OrderedDict()
            return rebuild, (kept, 0, item.shape, steps, False, notes)

    sys.modules |= {"torch": torch, "torch._utils": utils}
    try:
        with zipfile.ZipFile(path, "w") as archive:
            with archive.open("archive/data.pkl", "w") as file:
                Writer(file, protocol).dump(content)
            for number, array in enumerate(arrays):
                archive.writestr(f"archive/data/{number}", array.tobytes())
    finally:
        del sys.modules["torch"], sys.modules["torch._utils"]
