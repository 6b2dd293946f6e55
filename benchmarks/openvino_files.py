"""OpenVINO on our exported files against OpenVINO on timm's ONNX, ConvNeXt-T, 224 px.

Three steps, because the two networks come from two environments:

    python -m benchmarks.openvino_files ours FOLDER    # in .venv-interop
    python -m benchmarks.openvino_files timm FOLDER    # with timm, PyTorch, onnx, nncf
    python -m benchmarks.openvino_files race FOLDER    # with openvino alone

With `--batch=16` the first two write files that take as many images a call; the race
sees that in them.

Both networks have random weights with layer scale raised, and NNCF gets the same
random images and the same preset for both. In the race the files of a precision take
turns (A B A B). Prints a row for each precision and number of threads: milliseconds an
image of the process's own time and of the clock, medians, and ours over timm's.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np

SIZE_PX = 224
CALIBRATION_IMAGES = 32
CALLS = 3
OURS, TIMM = "ours", "timm"
HINT = "INFERENCE_PRECISION_HINT"


def calibration_images() -> np.ndarray:
    """Returns images of coarse noise, float32 in 0..255, channels last."""
    coarse = np.random.default_rng(0).uniform(0, 255, (CALIBRATION_IMAGES, 7, 7, 3))
    return np.float32(coarse.repeat(SIZE_PX // 7, axis=1).repeat(SIZE_PX // 7, axis=2))


def make_ours(folder: Path, batch: int) -> None:
    """Writes our files as `export.main --batch` does."""
    import keras_convnext
    from benchmarks.exported import random_network
    from export.convert import openvino_ir, tflite
    from export.convert.precisions import PRECISIONS
    from export.model.forward import Network, with_features
    from keras_convnext.preprocessing import IMAGENET

    model = random_network(keras_convnext.ConvNeXtTiny)
    network = Network(model, IMAGENET, keras_convnext.fold(with_features(model)))
    exact = tflite.convert(network, PRECISIONS["float32"], batch=batch)
    for name in ("float32", "bfloat16", "int8"):
        file = folder / f"{OURS}_{name}.xml"
        images = calibration_images()
        openvino_ir.write(exact, PRECISIONS[name], images, {}, file)


def make_timm(folder: Path, batch: int) -> None:
    """Writes timm's network as ONNX, and what NNCF makes of that."""
    import nncf
    import openvino
    import timm
    import torch

    torch.manual_seed(0)
    network = timm.create_model("convnext_tiny", pretrained=False).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("gamma"):
                parameter.uniform_(0.1, 1.0)
    file = folder / f"{TIMM}.onnx"
    example = torch.zeros(batch, 3, SIZE_PX, SIZE_PX)
    whole = torch.nn.Sequential(network, torch.nn.Softmax(-1))
    torch.onnx.export(whole, (example,), file, opset_version=17, dynamo=False)
    model = openvino.Core().read_model(file)
    openvino.save_model(model, folder / f"{TIMM}_float32.xml", compress_to_fp16=False)
    openvino.save_model(model, folder / f"{TIMM}_bfloat16.xml", compress_to_fp16=False)
    images = (calibration_images() / 127.5 - 1).transpose(0, 3, 1, 2)
    batches = images.reshape(-1, batch, *images.shape[1:])
    quantized = nncf.quantize(
        model,
        nncf.Dataset(list(batches)),
        subset_size=len(batches),
        model_type=nncf.ModelType.TRANSFORMER,
    )
    openvino.save_model(quantized, folder / f"{TIMM}_int8.xml", compress_to_fp16=False)


def race(folder: Path, rounds: int) -> None:
    """Lets the files take turns and prints a row for each pair."""
    import openvino

    core = openvino.Core()
    can_bfloat16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    print(
        core.get_property("CPU", "FULL_DEVICE_NAME"), "openvino", openvino.__version__
    )
    print("Milliseconds an image; ours, timm's.")
    print("| batch | precision | threads | CPU ms | ms by the clock | ratios |")
    for name, hint in (("float32", "f32"), ("bfloat16", "bf16"), ("int8", "f32")):
        if hint == "bf16" and not can_bfloat16:
            print("| | bfloat16 | | not here: the processor has none | | |")
            continue
        for threads in (1, 2):
            settings = {
                HINT: hint,
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": threads,
            }
            calls, batches = {}, set()
            for side in (OURS, TIMM):
                model = core.read_model(folder / f"{side}_{name}.xml")
                compiled = core.compile_model(model, "CPU", settings)
                given = compiled.input()
                image = np.ones(tuple(given.shape), given.element_type.to_dtype())
                batches.add(len(image))
                calls[side] = lambda compiled=compiled, image=image: compiled(image)
            (batch,) = batches
            print(_row(name, threads, batch, calls, rounds), flush=True)


def _row(name: str, threads: int, batch: int, calls: dict, rounds: int) -> str:
    own: dict[str, list[float]] = {side: [] for side in calls}
    clock: dict[str, list[float]] = {side: [] for side in calls}
    for turn in range(rounds + 1):
        for side, call in calls.items():
            for _ in range(CALLS):
                start, used = time.perf_counter(), time.process_time()
                call()
                if turn:
                    own[side].append(1000 * (time.process_time() - used) / batch)
                    clock[side].append(1000 * (time.perf_counter() - start) / batch)
    cells = []
    ratios = []
    for taken in (own, clock):
        ours, timm = (statistics.median(taken[side]) for side in (OURS, TIMM))
        cells.append(f"{ours:.1f}, {timm:.1f}")
        ratios.append(f"{ours / timm:.2f}")
    about = f"{batch} | {name} | {threads}"
    return f"| {about} | {' | '.join(cells)} | {', '.join(ratios)} |"


def main() -> None:
    """Does a step."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("step", choices=("ours", "timm", "race"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--batch", type=int, default=1)
    given = parser.parse_args()
    if CALIBRATION_IMAGES % given.batch:
        parser.error(f"--batch={given.batch} does not divide {CALIBRATION_IMAGES}")
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.step == "race":
        race(given.folder, given.rounds)
    else:
        {"ours": make_ours, "timm": make_timm}[given.step](given.folder, given.batch)


if __name__ == "__main__":
    main()
