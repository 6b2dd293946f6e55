"""Runs an exported file on its own: a program for a fresh process.

    python isolated_runner.py FILE QUESTIONS ANSWERS

It imports nothing of this project and no Keras, so what it finds is what a server or
a phone would find. QUESTIONS is an .npz with `tensors` float32
`(count, size, size, 3)`, `files_<i>` (the bytes of encoded images, uint8) and
`images_<i>` (their pixels, uint8 `(height, width, 3)`). ANSWERS is an .npz too.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_WARM_UPS = 3
_TIMED_CALLS = 30
# A large model may take seconds a call; the figures are then of fewer calls.
_TIMED_SECONDS = 20.0
_IMAGES_OF_ANY_NUMBER = 3
_BATCH = 32
# What an OpenVINO file says of itself has the arithmetic that it is meant for.
_HINT = "INFERENCE_PRECISION_HINT"
_RT_INFO = ["export", _HINT]
_BROKEN_FILE = b"\x89PNG\r\n\x1a\nno image"

Arrays = dict[str, np.ndarray]


def _latencies_ms(call: Callable[[], Any]) -> np.ndarray:
    """Returns how long each of a number of calls took, after some to warm up."""
    for _ in range(_WARM_UPS):
        call()
    taken: list[float] = []
    while len(taken) < _TIMED_CALLS and sum(taken) < 1000 * _TIMED_SECONDS:
        start = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - start))
    return np.array(taken)


def _numbered(questions: Any, prefix: str) -> list[np.ndarray]:
    count = sum(name.startswith(prefix) for name in questions)
    return [questions[f"{prefix}{index}"] for index in range(count)]


def run_saved_model(folder: str, questions: Any) -> Arrays:
    """Asks every signature of a SavedModel.

    Args:
        folder: The SavedModel.
        questions: As in the module's description.

    Returns:
        The answers by name.
    """
    import tensorflow as tf

    start = time.perf_counter()
    signatures = tf.saved_model.load(folder).signatures
    load_ms = 1000 * (time.perf_counter() - start)
    tensors = tf.constant(questions["tensors"])
    one = tensors[:1]

    def each(name: str, output: str) -> np.ndarray:
        parts = [signatures[name](tensors=row[None])[output] for row in tensors]
        return np.concatenate(parts)

    of_files = getattr(signatures.get("bytes"), "structured_outputs", ())
    if "sizes" in of_files:
        ask = _objects if "boxes" in of_files else _label_maps
        return {"load_ms": np.array(load_ms), **ask(signatures, questions)}
    if "tensors" not in signatures:
        return {
            "answers": each("features", "features"),
            "load_ms": np.array(load_ms),
            "latencies_ms": _latencies_ms(lambda: signatures["features"](tensors=one)),
        }
    files = [array.tobytes() for array in _numbered(questions, "files_")]
    singles = [tf.constant(image[None]) for image in _numbered(questions, "images_")]
    told = next(iter(signatures["tensors"].structured_outputs))
    images = [signatures["images"](images=one)[told] for one in singles]

    # A broken file stands between the others: they must not feel it.
    half = len(files) // 2
    mixed = files[:half] + [_BROKEN_FILE] + files[half:]
    parts = [
        signatures["bytes"](image_bytes=tf.constant(mixed[start : start + _BATCH]))
        for start in range(0, len(mixed), _BATCH)
    ]
    answers = {
        name: np.concatenate([part[name] for part in parts]) for name in parts[0]
    }
    # Fixed-length strings, which .npz stores without pickling.
    texts = {
        name: answers[name].astype(bytes)
        for name in ("classes", "status")
        if name in answers
    }
    batched = [
        signatures["tensors"](tensors=tensors[start : start + _BATCH])[told]
        for start in range(0, len(tensors), _BATCH)
    ]
    # A model that gives a number tells no classes, and that number for a score.
    named = (
        {"bytes_classes": np.delete(texts["classes"], half, axis=0)}
        if "classes" in texts
        else {}
    )
    scores = answers["scores" if named else told]
    return {
        "answers": _as_rows(each("tensors", told)),
        "features": each("features", "features"),
        "batched": _as_rows(np.concatenate(batched)),
        "images": _as_rows(np.concatenate(images)),
        "broken_status": texts["status"][half],
        "bytes_status": np.delete(texts["status"], half),
        "bytes_scores": _as_rows(np.delete(scores, half, axis=0)),
        **named,
        "load_ms": np.array(load_ms),
        "latencies_ms": _latencies_ms(lambda: signatures["tensors"](tensors=one)),
    }


def _as_rows(values: np.ndarray) -> np.ndarray:
    """Returns answers of shape `(images, outputs)`; a number is one of them."""
    return values.reshape(len(values), -1)


def _label_maps(signatures: Any, questions: Any) -> Arrays:
    """Asks every signature of a SavedModel that labels pixels."""
    import tensorflow as tf

    def from_bytes(files: list[bytes]) -> Any:
        return signatures["bytes"](image_bytes=tf.constant(files))

    files = [array.tobytes() for array in _numbered(questions, "files_")]
    images = _numbered(questions, "images_")
    tensors = [tf.constant(row[None]) for row in questions["tensors"]]
    answers = {}
    status = []
    for index, file in enumerate(files):
        found = from_bytes([file])
        answers[f"map_{index}"] = found["classes"].numpy()[0]
        status.append(found["status"].numpy()[0])
    # A broken file stands beside a good one, which must not feel it.
    mixed = from_bytes([_BROKEN_FILE, files[0]])
    height, width = mixed["sizes"].numpy()[1]
    answers["beside_broken"] = mixed["classes"].numpy()[1, :height, :width]
    for index, image in enumerate(images):
        found = signatures["images"](images=tf.constant(image[None]))
        answers[f"image_map_{index}"] = found["classes"].numpy()[0]
    return {
        **answers,
        "answers": np.concatenate(
            [signatures["tensors"](tensors=row)["classes"] for row in tensors]
        ),
        "bytes_status": np.array(status).astype(bytes),
        "broken_status": np.array(mixed["status"].numpy()[0]).astype(bytes),
        "latencies_ms": _latencies_ms(
            lambda: signatures["tensors"](tensors=tensors[0])
        ),
    }


def _objects(signatures: Any, questions: Any) -> Arrays:
    """Asks every signature of a SavedModel that finds objects."""
    import tensorflow as tf

    def each(called: str, given: str, rows: list[Any]) -> Arrays:
        found = [signatures[called](**{given: tf.constant(row)}) for row in rows]
        return {name: np.concatenate([one[name] for one in found]) for name in found[0]}

    files = [array.tobytes() for array in _numbered(questions, "files_")]
    images = [image[None] for image in _numbered(questions, "images_")]
    tensors = [row[None] for row in questions["tensors"]]
    of_files = each("bytes", "image_bytes", [[file] for file in files])
    # A broken file stands between good ones, which must not feel it.
    mixed = each("bytes", "image_bytes", [[files[-1], _BROKEN_FILE, files[0]]])
    answers = {
        "sizes": of_files.pop("sizes"),
        "good_status": of_files.pop("status").astype(bytes),
        "broken_status": mixed.pop("status").astype(bytes)[1],
    }
    mixed.pop("sizes")
    parts = {
        "bytes": of_files,
        "beside_broken": {name: value[::2] for name, value in mixed.items()},
        "images": each("images", "images", images),
        "tensors": each("tensors", "tensors", tensors),
    }
    for part, outputs in parts.items():
        answers |= {f"{part}_{name}": value for name, value in outputs.items()}
    one = tf.constant(tensors[0])
    latencies = _latencies_ms(lambda: signatures["tensors"](tensors=one))
    return {**answers, "latencies_ms": latencies}


def quantize(tensor: np.ndarray, given: dict[str, Any]) -> np.ndarray:
    """Returns a tensor in the type and the steps that a TFLite input takes."""
    dtype = given["dtype"]
    if np.issubdtype(dtype, np.floating):
        return tensor.astype(dtype)
    scale, zero = given["quantization"]
    limits = np.iinfo(dtype)
    steps = np.rint(tensor / scale) + zero
    return np.clip(steps, limits.min, limits.max).astype(dtype)


def _answer(interpreter: Any, made: dict[str, Any]) -> np.ndarray:
    """Returns what a TFLite output holds, or the numbers that its steps stand for."""
    values, (scale, zero) = interpreter.get_tensor(made["index"]), made["quantization"]
    return np.float32(scale) * (values.astype("f4") - zero) if scale else values


def run_tflite(file: str, questions: Any) -> Arrays:
    """Asks a TFLite file, a batch at a time.

    Args:
        file: The TFLite file.
        questions: As in the module's description.

    Returns:
        The answers by name.
    """
    from ai_edge_litert.interpreter import Interpreter

    start = time.perf_counter()
    interpreter = Interpreter(file, num_threads=os.cpu_count())
    given = interpreter.get_input_details()[0]
    tensors = questions["tensors"]
    batch = given["shape_signature"][0]
    if (given["shape_signature"] < 0).any():
        # A file for any number of images has to show that one is not all it can.
        batch = _IMAGES_OF_ANY_NUMBER if batch < 0 else batch
        interpreter.resize_tensor_input(given["index"], (batch, *tensors.shape[1:]))
    interpreter.allocate_tensors()
    load_ms = 1000 * (time.perf_counter() - start)
    made = {"answers": interpreter.get_output_details()[0]}
    if len(interpreter.get_output_details()) > 1:
        # Not to be held: `invoke` takes the runner for a user of the file's memory.
        details = interpreter.get_signature_runner().get_output_details()
        made = {f"tensors_{name}": each for name, each in details.items()}

    def ask(images: np.ndarray) -> Arrays:
        interpreter.set_tensor(given["index"], quantize(images, given))
        interpreter.invoke()
        return {name: _answer(interpreter, each) for name, each in made.items()}

    return {"load_ms": np.array(load_ms), **_in_batches(ask, tensors, batch)}


def _in_batches(
    ask: Callable[[np.ndarray], Arrays], tensors: np.ndarray, batch: int
) -> Arrays:
    """Returns a file's answers to images that it takes a batch at a time.

    Args:
        ask: From a batch to what the file answers, by name.
        tensors: The images.
        batch: How many the file takes in a call.
    """
    # The last image again and again fills the last batch.
    filled = np.pad(tensors, ((0, -len(tensors) % batch), *3 * ((0, 0),)), mode="edge")
    batches = filled.reshape(-1, batch, *filled.shape[1:])
    found = [ask(images) for images in batches]
    answers = {
        name: np.concatenate([part[name] for part in found])[: len(tensors)]
        for name in found[0]
    }
    return {**answers, "latencies_ms": _latencies_ms(lambda: ask(batches[0]))}


def _named(answers: Mapping[str, np.ndarray]) -> Arrays:
    """Returns what a file answers by the names that the comparison knows."""
    if len(answers) == 1:
        return {"answers": next(iter(answers.values()))}
    return {f"tensors_{name}": values for name, values in answers.items()}


def run_openvino(file: str, questions: Any) -> Arrays:
    """Asks an OpenVINO file, in the arithmetic that it says it is meant for.

    Args:
        file: The file, with the ending .xml.
        questions: As in the module's description.

    Returns:
        The answers by name, and as `arithmetic` what OpenVINO computed in.
    """
    import openvino

    start = time.perf_counter()
    core = openvino.Core()
    model = core.read_model(file)
    wanted = model.get_rt_info(_RT_INFO).astype(str)
    # Where a processor has no bfloat16, OpenVINO imitates it, minutes an image.
    can = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    hint = "f32" if wanted == "bf16" and not can else wanted
    compiled = core.compile_model(
        model, "CPU", {_HINT: hint, "PERFORMANCE_HINT": "LATENCY"}
    )
    load_ms = 1000 * (time.perf_counter() - start)
    given = model.input()
    batch, dtype = given.partial_shape[0], given.element_type.to_dtype()
    names = [output.any_name for output in model.outputs]

    def ask(images: np.ndarray) -> Arrays:
        found = compiled(images.astype(dtype))
        return _named({name: np.array(found[name]) for name in names})

    count = batch.get_length() if batch.is_static else _IMAGES_OF_ANY_NUMBER
    return {
        "load_ms": np.array(load_ms),
        "arithmetic": np.array(compiled.get_property(_HINT).to_string()),
        **_in_batches(ask, questions["tensors"], count),
    }


def run_onnx(file: str, questions: Any) -> Arrays:
    """Asks an ONNX file by ONNX Runtime, on the processor.

    Args:
        file: The ONNX file.
        questions: As in the module's description.

    Returns:
        The answers by name.
    """
    import onnxruntime

    start = time.perf_counter()
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    load_ms = 1000 * (time.perf_counter() - start)
    (given,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]

    def ask(images: np.ndarray) -> Arrays:
        found = session.run(names, {given.name: images})
        return _named(dict(zip(names, found, strict=True)))

    # A file for any number of images has a name there.
    batch = given.shape[0]
    count = batch if isinstance(batch, int) else _IMAGES_OF_ANY_NUMBER
    return {
        "load_ms": np.array(load_ms),
        **_in_batches(ask, questions["tensors"], count),
    }


# By the ending of the file; a SavedModel is a folder.
_RUNTIMES = {".tflite": run_tflite, ".xml": run_openvino, ".onnx": run_onnx}


def _peak_bytes() -> float:
    """Returns the most memory that this program held, not a number if unknown.

    `resource.getrusage` would not do: it counts the parent's memory before the fork.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return 1024.0 * int(line.split()[1])
    except OSError:
        pass
    return float("nan")


def main(argv: list[str]) -> int:
    """Runs the file that `argv` names and writes what it answered.

    Args:
        argv: The program's name, FILE, QUESTIONS and ANSWERS.

    Returns:
        The exit code.
    """
    _, file, questions_path, answers_path = argv
    with np.load(questions_path) as questions:
        ending = os.path.splitext(file)[1]
        run = run_saved_model if os.path.isdir(file) else _RUNTIMES[ending]
        answers = run(file, questions)
    answers["peak_bytes"] = np.array(_peak_bytes())
    np.savez(answers_path, allow_pickle=False, **answers)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
