"""Reads tensors that lie in several files, through the index that lists them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from keras_convnext.weights.errors import BadWeightsFileError
from keras_convnext.weights.tensor_file import TensorFile

# Hugging Face's `save_pretrained` writes one beside safetensors or torch's files.
INDEX_ENDINGS = (".safetensors.index.json", ".bin.index.json")
_MOST_INDEX_BYTES = 16 << 20


class ShardedFile(TensorFile):
    """Tensors of several files that an index lists."""

    def __init__(self, index: Path, open_shard: Callable[[Path], TensorFile]) -> None:
        """Opens the files beside an index.

        Args:
            index: The "*.safetensors.index.json" or "*.bin.index.json".
            open_shard: Opens one of the files.

        Raises:
            BadWeightsFileError: The index is damaged, names a file elsewhere, or
                does not say what its shards hold.
        """
        shard_of = _read_index(index)
        self._shards: dict[str, TensorFile] = {}
        try:
            for shard in sorted(set(shard_of.values())):
                if not (index.parent / shard).is_file():
                    raise BadWeightsFileError(
                        f"{index} lists {shard}, which is not beside it."
                    )
                self._shards[shard] = open_shard(index.parent / shard)
            self._shard_of = {
                name: shard
                for shard, file in self._shards.items()
                for name in file.tensors
            }
            different = self._shard_of.items() ^ shard_of.items()
            if different:
                raise BadWeightsFileError(
                    f"{index} does not say what its shards hold; "
                    f"{min(name for name, _ in different)!r} is in another place."
                )
        except BadWeightsFileError:
            self.close()
            raise
        kinds = sorted({file.kind for file in self._shards.values()})
        self.kind = f"sharded {' and '.join(kinds)}"
        tensors = {
            name: self._shards[shard].tensors[name]
            for name, shard in self._shard_of.items()
        }
        super().__init__(index, tensors)

    def read(self, name: str) -> np.ndarray:
        return self._shards[self._shard_of[name]].read(name)

    def close(self) -> None:
        for shard in self._shards.values():
            shard.close()


def _read_index(index: Path) -> dict[str, str]:
    """Returns which file holds each tensor."""
    try:
        if index.stat().st_size > _MOST_INDEX_BYTES:
            raise ValueError("it is too long")
        shard_of = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        if not all(isinstance(shard, str) for shard in shard_of.values()):
            raise ValueError("its weight_map is not one of names")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadWeightsFileError(
            f"{index} is not an index of weight files ({error})."
        ) from error
    for shard in shard_of.values():
        if Path(shard).name != shard or "\\" in shard:
            raise BadWeightsFileError(
                f"{index} names a file that is not beside it: {shard!r}."
            )
    return dict(shard_of)
