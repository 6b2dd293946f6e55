"""What stands in the way of more speed: the products alone, and where the rest goes.

    python benchmarks/limits.py --rounds=5

For each work one process takes turns between this library's model, the same network
with everything but its dense matrix products taken out (no depthwise convolution, norm,
GELU, bias, residual or optimizer), and one large product of the machine. No
implementation on the same matrix library can be faster than the second. Then the
model's operators are profiled, by TensorFlow's own profiler.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import importlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cases

WORKS = (
    (cases.FOLDED, cases.Case("limits", "inference", "convnext_tiny", 1, ())),
    (cases.FOLDED, cases.Case("limits", "inference", "convnext_tiny", 8, ())),
    (cases.OURS, cases.Case("limits", "inference", "convnext_tiny", 16, ())),
    (cases.OURS, cases.Case("limits", "training", "convnext_tiny", 16, ())),
    (
        cases.OURS,
        cases.Case("limits", "training", "convnext_atto", 128, (), 32, classes=10),
    ),
    (cases.OURS, cases.Case("limits", "training", "convnextv2_tiny", 8, ())),
)
# The training step is the training application's own, which lies in the checkout.
sys.path.append(str(Path(__file__).resolve().parent.parent))
LARGE = 2048
PROFILED_CALLS = 3
# What is shown of the profile: operators with at least so much of the time.
SHOWN = 0.03


def products(case: cases.Case) -> tuple[Callable[[], Any], float]:
    """Returns a call that makes a network's dense products and no more.

    Args:
        case: Its work, network, batch and size.

    Returns:
        The call, and how many floating-point operations it takes.
    """
    import numpy as np
    import tensorflow as tf

    from keras_convnext.variants import EXPANSION, find_variant

    row = find_variant(case.model)
    patch = row.stem[0].kernel_px
    side = case.size_px // patch
    generator = np.random.default_rng(0)
    kernels: list[tf.Variable] = []
    operations = 0

    def kernel(wide: int, out: int, rows: int) -> None:
        nonlocal operations
        values = generator.standard_normal((wide, out), np.float32) * wide**-0.5
        kernels.append(tf.Variable(values))
        operations += 2 * rows * wide * out

    kernel(patch * patch * 3, row.widths[0], case.batch * side * side)
    for stage, (depth, width) in enumerate(zip(row.depths, row.widths, strict=True)):
        if stage:
            side //= 2
            rows = case.batch * side * side
            kernel(4 * row.widths[stage - 1], width, rows)
        for _ in range(depth):
            rows = case.batch * side * side
            kernel(width, EXPANSION * width, rows)
            kernel(EXPANSION * width, width, rows)
    pixels = case.batch * (case.size_px // patch) ** 2
    patches = tf.random.normal((pixels, patch * patch * 3), seed=0)

    def forward() -> Any:
        x = patches
        for matrix in kernels:
            x = tf.matmul(tf.reshape(x, (-1, matrix.shape[0])), matrix)
        return x

    def backward() -> Any:
        with tf.GradientTape() as tape:
            x = forward()
        # The gradient of x, as large as x: nothing is computed for it.
        return tape.gradient(x, kernels, output_gradients=tf.stop_gradient(x))

    trains = case.work == "training"
    graph = tf.function(backward if trains else forward, autograph=False)

    def call() -> None:
        found = graph()
        (found[0] if trains else found)[0, 0].numpy()

    return call, operations * (3 if trains else 1)


def large_product() -> tuple[Callable[[], Any], float]:
    """Returns one large product, and how many operations it takes."""
    import tensorflow as tf

    matrix = tf.random.normal((LARGE, LARGE), seed=0)
    return lambda: tf.matmul(matrix, matrix)[0, 0].numpy(), 2.0 * LARGE**3


def traced(call: Callable[[], Any], calls: int = PROFILED_CALLS) -> dict[str, float]:
    """Returns the seconds of everything that TensorFlow's profiler saw, by name."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        for _ in range(calls):
            call()
        tf.profiler.experimental.stop()
        (file,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(file.read_bytes())
    times: collections.Counter[str] = collections.Counter()
    for plane in space.planes:
        names = {key: each.name for key, each in plane.event_metadata.items()}
        for line in plane.lines:
            for event in line.events:
                times[names[event.metadata_id]] += event.duration_ps
    return {name: picoseconds * 1e-12 for name, picoseconds in times.items()}


def by_kind(times: dict[str, float]) -> collections.Counter[str]:
    """Returns the seconds of each kind of operator, of those of everything."""
    found: collections.Counter[str] = collections.Counter()
    for each, seconds in times.items():
        # "name:Operator"; what runs operators has "::" or no colon.
        name, _, kind = each.rpartition(":")
        if name and not name.endswith(":") and not _runs_others(kind):
            found[kind] += seconds
    return found


def profile(call: Callable[[], Any]) -> dict[str, float]:
    """Returns each kind of operator's share of the operators' time, largest first."""
    times = by_kind(traced(call))
    total = sum(times.values())
    return {kind: seconds / total for kind, seconds in times.most_common()}


def _runs_others(kind: str) -> bool:
    """Returns True if an operator's time is that of those inside of it."""
    containers = ("While", "StatefulPartitionedCall", "PartitionedCall", "Case", "If")
    return kind in containers or "__inference_" in kind


def measure(contestant: str, case: cases.Case, rounds: int) -> dict[str, Any]:
    """Returns the results of one work: median seconds, ratios, shares of operators."""
    module = importlib.import_module(f"contestants.{contestant}")
    whole = module.prepare(dataclasses.asdict(case))
    alone, operations = products(case)
    large, large_operations = large_product()
    calls = {"whole": whole, "alone": alone, "large": large}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            if number:  # the first makes the graph
                seconds[name].append(time.perf_counter() - begin)
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    rate = large_operations / medians["large"]
    return {
        "name": f"{case.name}, {cases.TITLES[contestant]}",
        "median_s": medians,
        "products_share": medians["alone"] / medians["whole"],
        "large_product_gflops": rate / 1e9,
        "share_of_large_product_rate": operations / medians["whole"] / rate,
        "operators": profile(whole),
    }


def told(found: dict[str, Any]) -> list[str]:
    """Returns one work's figures in lines."""
    medians = found["median_s"]
    rate = found["share_of_large_product_rate"]
    shown = [
        f"{kind} {share:.0%}"
        for kind, share in found["operators"].items()
        if share >= SHOWN
    ]
    return [
        found["name"],
        f"  {medians['whole'] * 1e3:.0f} ms; its products alone "
        f"{medians['alone'] * 1e3:.0f} ms, {found['products_share']:.0%} of it",
        f"  {rate:.0%} of the rate of one large product "
        f"({found['large_product_gflops']:.0f} GFLOP/s)",
        f"  operators: {', '.join(shown)}",
    ]


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="works whose name has this in it")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    works = []
    for contestant, case in WORKS:
        if options.only in case.name:
            works.append(measure(contestant, case, options.rounds))
            print("\n".join(told(works[-1])), flush=True)
    if options.out:
        options.out.write_text(json.dumps({"works": works}, indent=1) + "\n")


if __name__ == "__main__":
    main()
