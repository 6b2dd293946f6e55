"""What FCMAE's gathered form gains: a training step beside one of the dense form.

    python benchmarks/fcmae_step.py convnextv2_atto 16 224 12

gives variant, images a step, their size and the number of rounds. The two forms take
turns; forward and backward pass and the update are measured, without the first two
steps of each, which compile.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_convnext import FCMAE, pretraining


def make_step(variant: str, batch: int, size_px: int, is_gathered: bool) -> Callable:
    """Returns a function that takes one training step."""
    shape = (size_px, size_px, 3)
    model = FCMAE(variant, input_shape=shape, is_gathered=is_gathered, seed=0)
    random = np.random.default_rng(0)
    inputs = {
        "image": tf.constant(random.uniform(0, 255, (batch, *shape)), tf.float32),
        "order": pretraining.draw_orders(batch, model.patches, seed=0),
    }
    variables = [variable.value for variable in model.trainable_variables]

    @tf.function(autograph=False)
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(inputs, training=True)["loss"])
        for variable, gradient in zip(
            variables, tape.gradient(loss, variables), strict=True
        ):
            variable.assign_sub(1e-4 * gradient)
        return loss

    return step


def main(variant: str, batch: int, size_px: int, rounds: int) -> None:
    """Measures both forms and prints their times."""
    steps = {
        name: make_step(variant, batch, size_px, is_gathered)
        for name, is_gathered in (("dense", False), ("gathered", True))
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 2):
        for name, step in steps.items():
            began = time.perf_counter()
            step().numpy()
            if number >= 2:
                seconds[name].append(time.perf_counter() - began)
    for name, times in seconds.items():
        print(f"{name:<9} median {np.median(times):.3f} s, least {min(times):.3f} s")
    medians, least = (
        how(seconds["gathered"]) / how(seconds["dense"]) for how in (np.median, min)
    )
    print(f"gathered / dense: {medians:.2f} of medians, {least:.2f} of least")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
