#!/usr/bin/env bash
# Behavior: Model.load_weights of a .weights.h5 file does not look at the layers' names:
#   the layers of each class are numbered in their order, and the n-th Dense of the file
#   goes into the n-th Dense of the model. Equal names in another order are exchanged in
#   silence; with skip_mismatch=True a layer put in front shifts all weights behind it by
#   one.
# Guess: names match, as by_name=True did in Keras 2, or a file whose names are the
#   model's in another order is refused.
# Hurts: everybody who names layers in order to load weights into a network that was
#   rebuilt (heads in another order, a stem added, a block removed): where shapes agree,
#   as in all blocks of a stage, the network is scrambled; with skip_mismatch a warning
#   names the last layer alone.
# Seen: 2026-11-28, keras 3.15.1, numpy 2.4.6, jax 0.10.2 (as run here) and tensorflow
#   2.21.0 alike: two heads named boxes and classes hold each other's weights after
#   loading; with a new layer in front and skip_mismatch, it holds the stem's weights and
#   the stem the body's.

set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet keras==3.15.1 jax==0.10.2 numpy==2.4.6
KERAS_BACKEND=jax JAX_PLATFORMS=cpu venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import keras
import numpy as np

print("keras", version("keras"), "jax", version("jax"), "numpy", version("numpy"))


def build_heads(names: list[str]) -> keras.Model:
    """Two heads of equal shape on one input, made in the order of the names."""
    features = keras.Input((4,))
    return keras.Model(features, [keras.layers.Dense(4, name=n)(features) for n in names])


def build_chain(names: list[str]) -> keras.Model:
    """Dense layers of equal shape, one behind another."""
    return keras.Sequential([keras.Input((4,)), *(keras.layers.Dense(4, name=n) for n in names)])


def fill(model: keras.Model, values: dict[str, float]) -> None:
    """Sets every number of a layer's kernel to one value."""
    for name, value in values.items():
        kernel = model.get_layer(name).kernel
        kernel.assign(np.full(kernel.shape, value, "float32"))


def read(model: keras.Model) -> dict[str, float]:
    """The first number of each layer's kernel."""
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    return {layer.name: round(float(layer.kernel.numpy()[0, 0])) for layer in dense}


heads = build_heads(["boxes", "classes"])
fill(heads, {"boxes": 1, "classes": 2})
heads.save_weights("heads.weights.h5")
rebuilt = build_heads(["classes", "boxes"])
rebuilt.load_weights("heads.weights.h5")
print("written:", read(heads), "loaded:", read(rebuilt), "guess: equal by name")

chain = build_chain(["stem", "body"])
fill(chain, {"stem": 1, "body": 2})
chain.save_weights("chain.weights.h5")
longer = build_chain(["new", "stem", "body"])
fill(longer, {"new": 7, "stem": 8, "body": 9})
longer.load_weights("chain.weights.h5", skip_mismatch=True)
print("written:", read(chain), "loaded:", read(longer), "guess: new 7, stem 1, body 2")
exchanged = read(rebuilt) == {"classes": 1, "boxes": 2}
if not exchanged or read(longer) != {"new": 1, "stem": 2, "body": 9}:
    raise SystemExit("the behavior has changed")
PYTHON
