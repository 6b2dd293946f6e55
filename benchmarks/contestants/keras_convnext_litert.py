"""This library's float32 TFLite file, as `export.main` writes it, in LiteRT."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from ai_edge_litert.interpreter import Interpreter

import keras_convnext
from contestants import keras_convnext_plain, with_keras
from export.convert import tflite
from export.convert.precisions import PRECISIONS
from export.model.forward import Network, with_features
from keras_convnext.preprocessing import Preprocessing


def versions() -> dict[str, str]:
    """Returns the packages' versions."""
    return {
        **keras_convnext_plain.versions(),
        "ai-edge-litert": version("ai-edge-litert"),
    }


def prepare(case: dict[str, Any]) -> Callable[[], Any]:
    """Returns the case's work."""
    model = keras_convnext_plain.build(case)
    network = Network(
        model,
        Preprocessing(size_px=case["size_px"]),
        keras_convnext.fold(with_features(model)),
    )
    contents = tflite.convert(network, PRECISIONS["float32"], batch=case["batch"])
    interpreter = Interpreter(model_content=contents, num_threads=os.cpu_count())
    runner = interpreter.get_signature_runner(tflite.SIGNATURE)
    (name,) = runner.get_input_details()
    values = {name: with_keras.images(case).numpy()}
    return lambda: runner(**values)
