"""Records what Keras 2.15 writes for keras.applications' ConvNeXtTiny.

Runs under Python 3.11 with tensorflow-cpu 2.15.1:

    python make_keras2_layout.py keras2_layout.json [FILE.h5]

The JSON holds, for the model with and without its top, the names of its layers and
of their weights; with a second argument the file with the top is kept, its
weights seeded by their names.
"""

import json
import sys
import tempfile
from pathlib import Path

import h5py
import keras
from seeded_weights import seeded


def as_text(name: bytes | str) -> str:
    return name if isinstance(name, str) else name.decode()


def layout(path: Path) -> dict[str, object]:
    with h5py.File(path) as file:
        names = [as_text(name) for name in file.attrs["layer_names"]]
        return {
            "layer_names": names,
            "root_attributes": sorted(file.attrs),
            "root_groups": sorted(set(file) - set(names)),
            "weights": {
                layer: {
                    as_text(name): list(file[layer][as_text(name)].shape)
                    for name in file[layer].attrs["weight_names"]
                }
                for layer in names
                if len(file[layer].attrs["weight_names"])
            },
        }


def main() -> None:
    layouts = {}
    for top in (True, False):
        # A fresh session numbers automatic layer names from zero.
        keras.backend.clear_session()
        model = keras.applications.ConvNeXtTiny(weights=None, include_top=top)
        for variable in model.weights:
            name = variable.name.removesuffix(":0")
            variable.assign(seeded(name, tuple(variable.shape)))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "weights.h5"
            model.save_weights(path)
            layouts["top" if top else "notop"] = layout(path)
            if top and len(sys.argv) > 2:
                Path(sys.argv[2]).write_bytes(path.read_bytes())
    Path(sys.argv[1]).write_text(json.dumps(layouts, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
