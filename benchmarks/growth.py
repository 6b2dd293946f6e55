"""Whether the cost of inference grows as the work does: with images, with pixels.

    python benchmarks/growth.py --rounds=7

One process measures the same folded ConvNeXt-T on all shapes, taking turns. Given is
how many times as much an image costs in a batch of 32 as in one of 4, and a pixel of an
image of 448x448 pixels as one of 224x224: 1 is growth in proportion.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

# Name, and batch and side in pixels of the small and of the large work.
GROWTHS = {
    "an image, batch 4 to 32": ((4, 224), (32, 224)),
    "a pixel, 224 to 448 px": ((4, 224), (4, 448)),
}
MOST = 1.15


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--variant", default="convnext_tiny")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf
    from contestants.with_keras import randomise

    import keras_convnext

    model = keras_convnext.create(options.variant, input_shape=(None, None, 3))
    randomise(model)
    model = keras_convnext.fold(model)
    works = sorted({work for pair in GROWTHS.values() for work in pair})
    calls = {}
    for batch, side_px in works:
        images = tf.random.uniform((batch, side_px, side_px, 3), 0.0, 255.0, seed=0)
        # A graph each, as a server has; none is made for several shapes.
        graph = tf.function(
            lambda batch: model(batch, training=False),
            jit_compile=False,
            autograph=False,
        )
        calls[batch, side_px] = lambda graph=graph, images=images: graph(images)
        calls[batch, side_px]().numpy()
    seconds = {work: [] for work in works}
    for _ in range(options.rounds):
        for work, call in calls.items():
            begin = time.perf_counter()
            call().numpy()
            seconds[work].append(time.perf_counter() - begin)
    medians = {work: statistics.median(found) for work, found in seconds.items()}
    growth = {}
    for name, (small, large) in GROWTHS.items():
        pixels = [batch * side_px**2 for batch, side_px in (small, large)]
        growth[name] = medians[large] / medians[small] * pixels[0] / pixels[1]
        print(f"{name:30s} costs {growth[name]:.2f} times as much (at most {MOST})")
    for (batch, side_px), median in medians.items():
        print(f"batch {batch:2d}, {side_px} px: median {median * 1e3:8.1f} ms")
    if options.out:
        shown = {f"batch {work[0]}, {work[1]} px": medians[work] for work in works}
        figures = {"growth": growth, "most": MOST, "median_s": shown}
        options.out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
