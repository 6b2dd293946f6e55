"""Exported ConvNeXt-T against what keras.applications exports, on this machine.

The files are made once into --folder; then all SavedModels take turns (A B A B), and
after them all TFLite files, so that drift of the machine's speed hits each alike.
Both networks have random weights with layer scale raised, so that no branch is near
zero. One more TFLite file has the network's convolutions and products alone, without
norms, activations and residual sums: with the same kernels no file is faster. Prints
JSON: ratios of medians first, then milliseconds an image and bytes.

    python -m benchmarks.exported --folder /tmp/exported --rounds 0   # only make them
    python -m benchmarks.exported --folder /tmp/exported --rounds 20
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

SIZE_PX = 224
OURS, THEIRS, LEAST = "keras_convnext", "keras_applications", "products_alone"
PRECISIONS = ("float32", "float16", "dynamic_int8", "int8")
# Enough for the file's speed and size, which do not depend on the ranges.
CALIBRATION_IMAGES = 4


def random_network(builder: Callable[..., Any]) -> Any:
    """Returns a ConvNeXt-T whose every parameter counts."""
    model = builder(weights=None, input_shape=(SIZE_PX, SIZE_PX, 3))
    generator = np.random.default_rng(0)
    for variable in model.weights:
        shape = variable.shape
        if "kernel" in variable.path or len(shape) > 1:
            continue
        if "mean" in variable.path or "variance" in variable.path:
            continue
        low, high = (0.1, 1.0) if "gamma" in variable.path else (-0.1, 0.1)
        variable.assign(generator.uniform(low, high, shape))
    return model


def make_ours(folder: Path, images: np.ndarray) -> None:
    """Exports this library's network: folded, as `export.main` does."""
    import keras_convnext
    from export.convert import precisions, saved_model, tflite
    from export.model.forward import Network, with_features
    from export.model.loaded_model import Source
    from keras_convnext.inference.outputs import find_output_meaning
    from keras_convnext.preprocessing import IMAGENET

    model = random_network(keras_convnext.ConvNeXtTiny)
    network = Network(model, IMAGENET, keras_convnext.fold(with_features(model)))
    labels = tuple(f"class {number}" for number in range(1000))
    source = Source(
        "random", model, find_output_meaning(model), labels, IMAGENET, normalizes=True
    )
    (folder / OURS).mkdir()
    saved_model.write(source, network, folder / OURS / "1", default="tensors")
    for name in PRECISIONS:
        precision = precisions.PRECISIONS[name]
        measured = images if precision.calibrated else None
        file = folder / f"{OURS}_{name}.tflite"
        file.write_bytes(tflite.convert(network, precision, measured))


def make_theirs(folder: Path) -> None:
    """Exports keras.applications' network with Keras' own exporter."""
    import keras

    model = random_network(keras.applications.ConvNeXtTiny)
    model.export(folder / THEIRS / "1", format="tf_saved_model", verbose=False)
    # The batch is fixed, as in the files that it is compared with.
    given = keras.Input(batch_shape=(1, SIZE_PX, SIZE_PX, 3))
    fixed = keras.Model(given, model(given))
    file = folder / f"{THEIRS}_float32.tflite"
    fixed.export(str(file), format="litert", verbose=False)


def make_least(folder: Path) -> None:
    """Exports ConvNeXt-T's convolutions and products, and nothing between them."""
    import keras
    from keras import layers

    from keras_convnext.variants import VARIANTS

    tiny = VARIANTS["convnext_tiny"]
    given = keras.Input(batch_shape=(1, SIZE_PX, SIZE_PX, 3))
    x = layers.Conv2D(tiny.widths[0], 4, 4)(given)
    for stage, (depth, width) in enumerate(zip(tiny.depths, tiny.widths, strict=True)):
        if stage:
            x = layers.Conv2D(width, 2, 2)(x)
        for _ in range(depth):
            x = layers.DepthwiseConv2D(7, padding="same")(x)
            x = layers.Dense(width)(layers.Dense(4 * width)(x))
    made = layers.Dense(1000)(layers.GlobalAveragePooling2D()(x))
    file = folder / f"{LEAST}_float32.tflite"
    keras.Model(given, made).export(str(file), format="litert", verbose=False)


def saved_model_call(folder: Path, image: np.ndarray) -> Callable[[], Any]:
    """Returns a call of a SavedModel's default signature with one image."""
    signatures = tf.saved_model.load(str(folder)).signatures
    (name,) = signatures["serving_default"].structured_input_signature[1]
    tensor = tf.constant(image)

    def call() -> None:
        for output in signatures["serving_default"](**{name: tensor}).values():
            output.numpy()

    return call


def tflite_call(file: Path, image: np.ndarray) -> Callable[[], Any]:
    """Returns a call of a TFLite file with one image."""
    interpreter = Interpreter(str(file), num_threads=os.cpu_count())
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]
    made = interpreter.get_output_details()[0]["index"]
    image = image.astype(given["dtype"])

    def call() -> None:
        interpreter.set_tensor(given["index"], image)
        interpreter.invoke()
        interpreter.get_tensor(made)

    return call


def take_turns(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, Any]:
    """Returns each call's times in milliseconds, after two rounds to warm up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 2):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if number >= 2:
                times[name].append(1e3 * (time.perf_counter() - start))
    return times


def size_bytes(path: Path) -> int:
    """Returns the size of a file or of all files in a folder."""
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def main() -> None:
    """Makes the files where they are missing, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    folder = options.folder
    generator = np.random.default_rng(1)
    shape = (CALIBRATION_IMAGES, SIZE_PX, SIZE_PX, 3)
    images = generator.uniform(0, 255, shape).astype(np.float32)
    done = folder / "done"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        make_ours(folder, images)
        make_theirs(folder)
        make_least(folder)
        done.touch()
    if not options.rounds:
        return
    saved = {name: folder / name / "1" for name in (OURS, THEIRS)}
    files = {path.stem: path for path in sorted(folder.glob("*.tflite"))}
    times: dict[str, list[float]] = {}
    image = images[:1]
    for calls in (
        {f"{k} saved_model": saved_model_call(v, image) for k, v in saved.items()},
        {f"{k} tflite": tflite_call(v, image) for k, v in files.items()},
    ):
        times |= take_turns(calls, options.rounds)
    median = {name: round(statistics.median(taken), 2) for name, taken in times.items()}
    least = {name: round(min(taken), 2) for name, taken in times.items()}
    sizes = {name: size_bytes(path) for name, path in (saved | files).items()}
    ours, theirs = f"{OURS}_float32 tflite", f"{THEIRS}_float32 tflite"
    dynamic = f"{OURS}_dynamic_int8 tflite"
    exact = sizes[f"{OURS}_float32"]
    report = {
        "faster": {
            "SavedModel than keras.applications": round(
                median[f"{THEIRS} saved_model"] / median[f"{OURS} saved_model"], 2
            ),
            "TFLite float32 than keras.applications": round(
                median[theirs] / median[ours], 2
            ),
            "products alone than keras.applications": round(
                median[theirs] / median[f"{LEAST}_float32 tflite"], 2
            ),
            "TFLite dynamic int8 than float32": round(
                median[ours] / median[dynamic], 2
            ),
        },
        "share_of_float32_bytes": {
            name: round(sizes[f"{OURS}_{name}"] / exact, 3) for name in PRECISIONS[1:]
        },
        "median_ms": median,
        "min_ms": least,
        "bytes": sizes,
        "rounds": options.rounds,
        "cpu_count": os.cpu_count(),
        "tensorflow": tf.__version__,
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
