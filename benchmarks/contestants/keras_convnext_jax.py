"""This library's model under Keras' JAX backend, compiled by XLA: for GPUs."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "jax"
# The other contestants are on the card too.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import collections
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

import keras_convnext
from keras_convnext import optimizers


def versions() -> dict[str, str]:
    """Returns the packages' versions."""
    return {
        "jax": jax.__version__,
        "keras": keras.__version__,
        "keras-convnext": keras_convnext.__version__,
        "device": jax.devices()[0].device_kind,
    }


def device_peak_mb() -> float | None:
    """Returns the most memory that the device has held; None on a processor."""
    held = jax.devices()[0].memory_stats() or {}
    peak = held.get("peak_bytes_in_use")
    return peak and peak / 1e6


def kernels(call: Callable[[], Any], calls: int = 3) -> dict[str, float]:
    """Returns the seconds of each of the device's kernels in one call, by name.

    Args:
        call: The work, compiled already.
        calls: How many are profiled.
    """
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(calls):
                call()
        (file,) = Path(folder).rglob("*.xplane.pb")
        planes = list(jax.profiler.ProfileData.from_file(str(file)).planes)
    cards = [plane for plane in planes if plane.name.startswith("/device:")]
    # A card's streams; on a processor, the threads that run what XLA has compiled.
    word = "Stream" if cards else "tf_XLA"
    found: collections.Counter[str] = collections.Counter()
    for plane in cards or planes:
        for line in plane.lines:
            for event in line.events if line.name.startswith(word) else ():
                # What has these in it waits for others or runs them.
                if cards or not ("::" in event.name or event.name.startswith("end: ")):
                    found[event.name] += event.duration_ns * 1e-9 / calls
    return dict(found.most_common())


def build(case: dict[str, Any], activation: str | None) -> keras.Model:
    """Returns the case's model with random weights."""
    size = case["size_px"]
    model = keras_convnext.create(
        case["model"],
        weights=None,
        input_shape=(size, size, 3),
        classes=case["classes"],
        dtype=case["precision"],
        classifier_activation=activation,
    )
    random = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if len(variable.shape) == 1:
            variable.assign(random.uniform(0.1, 0.9, variable.shape))
    return model


def prepare(case: dict[str, Any]) -> Callable[[], Any]:
    """Returns the case's work."""
    key = jax.random.key(0)
    shape = (case["batch"], case["size_px"], case["size_px"], 3)
    batch = jax.random.uniform(key, shape, maxval=255.0)
    labels = jax.random.randint(key, (case["batch"],), 0, case["classes"])
    if case["work"] == "inference":
        model = keras_convnext.fold(build(case, "softmax"))
        trained = [v.value for v in model.trainable_variables]
        others = [v.value for v in model.non_trainable_variables]

        @jax.jit
        def classify(trained: Any, others: Any, batch: Any) -> Any:
            return model.stateless_call(trained, others, batch, training=False)[0]

        return lambda: np.asarray(classify(trained, others, batch))

    model = build(case, None)
    optimizer = optimizers.LayerwiseAdamW(
        1e-4, weight_decay=0.05, groups=optimizers.parameter_groups(model)
    )
    optimizer.build(model.trainable_variables)

    def mean_loss(trained: Any, others: Any) -> Any:
        logits, others = model.stateless_call(trained, others, batch, training=True)
        logits = jax.nn.log_softmax(logits.astype(jnp.float32))
        picked = jnp.take_along_axis(logits, labels[:, None], axis=1)
        return -picked.mean(), others

    # The state is given away at each step, so that it is in memory once.
    def step(trained: Any, others: Any, slots: Any) -> Any:
        gradient = jax.value_and_grad(mean_loss, has_aux=True)
        (loss, others), gradients = gradient(trained, others)
        trained, slots = optimizer.stateless_apply(slots, gradients, trained)
        return loss, trained, others, slots

    compiled = jax.jit(step, donate_argnums=(0, 1, 2))
    state = [
        [v.value for v in model.trainable_variables],
        [v.value for v in model.non_trainable_variables],
        [v.value for v in optimizer.variables],
    ]

    def train() -> float:
        loss, *state[:] = compiled(*state)
        return float(loss)

    return train
