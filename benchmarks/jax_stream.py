"""Images a second that reach JAX's steps, against those that the pipeline makes.

Both read the same drawn photographs, with the augmentation of the papers' recipes. One
side takes the pipeline's batches and does nothing with them; the other brings them to
the device and takes a step of a network of one layer, so that the stream is what is
measured. They take turns in one process.

    python benchmarks/jax_stream.py --rounds=5
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import pipeline


def fed(batches: Iterator[Any]) -> Iterator[None]:
    """Takes a step with each batch, as training does."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax.sharding import Mesh

    from training.jax_engine import stream
    from training.jax_engine.devices import Spread, local

    spread = Spread(Mesh(np.array(jax.devices()[:1]), ("batch",)))

    def step(weights: Any, images: Any, labels: Any) -> Any:
        def loss_of(weights: Any) -> Any:
            means = jnp.mean(images.astype(jnp.float32), axis=(1, 2)) / 255.0
            return jnp.mean((means @ weights - labels) ** 2)

        loss, slope = jax.value_and_grad(loss_of)(weights)
        return weights - 0.1 * slope, loss

    compiled = jax.jit(step)
    weights = spread.copy(np.zeros((3, pipeline.CLASSES), np.float32))
    for images, labels in stream.ahead(batches, spread.spread):
        weights, loss = compiled(weights, images, labels)
        float(local(loss))
        yield


def alone(batches: Iterator[Any]) -> Iterator[None]:
    """Takes each batch, and does nothing with it."""
    for _ in batches:
        yield


def rates_of(steps: Iterator[None], count: int, batch: int) -> tuple[float, float]:
    """Returns images a second over some steps, and a second of processor time.

    What else a machine does changes the first much more than the second, and where
    the processor makes the images they say the same.
    """
    for _ in itertools.islice(steps, pipeline.WARM_UP_BATCHES // 2):
        pass
    began, worked = time.perf_counter(), time.process_time()
    for _ in itertools.islice(steps, count):
        pass
    images = count * batch
    return (
        images / (time.perf_counter() - began),
        images / (time.process_time() - worked),
    )


def main() -> None:
    """Prints the rates of both sides and the median of their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--batch", type=int, default=32)
    chosen = parser.parse_args()
    from training.recipes.papers import _STRONG

    with tempfile.TemporaryDirectory() as folder:
        pipeline.draw_images(Path(folder), 100, 500, 375)
        source = pipeline.source_here(Path(folder))
        ratios = []
        for number in range(chosen.rounds):
            rates = {}
            order = (alone, fed) if number % 2 else (fed, alone)
            for side in order:
                made = source.train(chosen.batch, epoch=number, seed=0, augment=_STRONG)
                steps = side(made.as_numpy_iterator())
                rates[side] = rates_of(steps, chosen.batches, chosen.batch)
                steps.close()  # type: ignore[attr-defined]
            ratios.append(
                [ours / own for ours, own in zip(rates[fed], rates[alone], strict=True)]
            )
            print(
                f"pipeline alone {rates[alone][0]:,.0f} images a second, fed to steps "
                f"{rates[fed][0]:,.0f}: {ratios[-1][0]:.2f}; a second of processor "
                f"time {rates[alone][1]:,.0f} and {rates[fed][1]:,.0f}: "
                f"{ratios[-1][1]:.2f}",
                flush=True,
            )
    clock, processor = (statistics.median(each) for each in zip(*ratios, strict=True))
    print(f"median of {chosen.rounds}: {clock:.2f}; by processor time {processor:.2f}")


if __name__ == "__main__":
    main()
