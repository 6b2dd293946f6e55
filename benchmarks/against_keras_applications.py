"""ConvNeXt-T on this machine: this library against keras.applications.

Both models sit in one process with the same weights and take turns (A B A B), so
that drift of the machine's speed hits both. Prints medians, minima and the ratio.

    python benchmarks/against_keras_applications.py --batch 16 --runs 5
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_convnext


def raise_layer_scale(model: keras.Model) -> None:
    """Makes gamma count; at 1e-6 a compiler may find branches it can skip."""
    random = np.random.default_rng(0)
    for layer in model.layers:
        if type(layer).__name__ == "LayerScale":
            layer.set_weights([random.uniform(0.1, 1.0, layer.weights[0].shape)])


def seconds(call: Callable[[Any], Any], images: Any) -> float:
    """Returns the wall time of one call, in seconds."""
    start = time.perf_counter()
    call(images).numpy()
    return time.perf_counter() - start


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=224, help="side in pixels")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    shape = (options.size, options.size, 3)
    models = {
        "keras_convnext": keras_convnext.ConvNeXtTiny(weights=None, input_shape=shape),
        "keras.applications": keras.applications.ConvNeXtTiny(
            weights=None, input_shape=shape
        ),
    }
    images = tf.random.uniform((options.batch, *shape), 0, 255)
    calls = {}
    for name, model in models.items():
        raise_layer_scale(model)
        calls[name] = tf.function(model)
        calls[name](images)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(options.runs):
        for name, call in calls.items():
            times[name].append(seconds(call, images))
    for name, measured in times.items():
        median = statistics.median(measured)
        print(
            f"{name:20s} median {median * 1e3:8.1f} ms  min {min(measured) * 1e3:8.1f} "
            f"ms  {options.batch / median:6.2f} img/s"
        )
    ours, theirs = (statistics.median(t) for t in times.values())
    print(f"ratio of medians: {theirs / ours:.2f} times as fast")


if __name__ == "__main__":
    main()
