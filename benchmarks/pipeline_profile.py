"""Where an image's time goes in the data pipeline, and what stands in the way of more.

    python benchmarks/pipeline_profile.py --rounds=5

On one core, this project's side of pipeline.py takes turns with decoding alone: the
same parts of the same JPEG files, read and decoded in the same way, and nothing after
it. No pipeline with this decoder can be faster. Then the whole is profiled, by
TensorFlow's own profiler.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import limits
import pipeline

# What the operators are for; all others are small and many.
PURPOSES = {
    "DecodeAndCropJpeg": "decoding",
    "DecodeJpeg": "decoding",
    "ReadFile": "reading files",
    "ScaleAndTranslate": "resizing",
    "FakeQuantWithMinMaxArgs": "resizing",
    "Transpose": "transposes of resizing",
    "StatelessRandomNormalV2": "noise of random erasing",
}
OTHER = "other operators"
# What runs everything that is compiled: most of RandAugment, MixUp and CutMix.
COMPILED, RUNS_COMPILED = "compiled augmentation", "CpuExecutable::ExecuteAsyncOnStream"
# Ends when a batch is there, and is no work itself.
WAITING = "IteratorGetNext"


def spent(times: Mapping[str, float]) -> dict[str, float]:
    """Returns the share of each purpose in what the profiler saw, largest first.

    Args:
        times: Seconds by name, as `limits.traced` gives them.
    """
    found = {COMPILED: times.get(RUNS_COMPILED, 0.0)}
    for kind, seconds in limits.by_kind(times).items():
        # A compiled piece's own loops are named like operators, after a space.
        if kind != WAITING and not kind.startswith(" "):
            purpose = PURPOSES.get(kind, OTHER)
            found[purpose] = found.get(purpose, 0.0) + seconds
    total = sum(found.values())
    order = sorted(found, key=lambda purpose: -found[purpose])
    return {purpose: found[purpose] / total for purpose in order}


def profile(folder: Path, batch: int, batches: int) -> dict[str, float]:
    """Returns the share of each purpose in the time of so many training batches."""
    made = pipeline.batches_here(folder, batch)
    for _ in range(pipeline.WARM_UP_BATCHES):
        next(made)
    return spent(limits.traced(lambda: next(made), batches))


def told(found: dict[str, Any]) -> list[str]:
    """Returns the figures in lines."""
    rates = found["images_per_second_per_core"].items()
    return [
        *(f"{side:22s} {rate:7.1f} img/s on one core" for side, rate in rates),
        f"decoding alone takes {found['ratio']:.0%} of an image's time",
        *(f"  {purpose:24s} {share:4.0%}" for purpose, share in found["spent"].items()),
    ]


def main() -> None:
    """Measures, prints and writes."""
    options = pipeline.arguments(__doc__).parse_args()
    sides = dict.fromkeys((pipeline.OURS, pipeline.DECODING), sys.executable)
    with pipeline.images(options):
        found = pipeline.measure(sides, options)
        os.sched_setaffinity(0, {options.core})
        shares = profile(Path(options.folder), options.batch, options.batches)
    found["spent"] = shares
    print("\n".join(told(found)))
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
