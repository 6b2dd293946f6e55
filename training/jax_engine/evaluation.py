"""The rows of the validation examples under JAX."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax.experimental import multihost_utils

from ..engine.run import Check, Run
from ..tasks.task import Measure, Rows
from . import stream
from .devices import Spread

# Images in memory that are evaluated at a time.
_AT_ONCE = 512

Evaluate = Callable[[Check], Iterator[Rows]]


def _rows_of(model: keras.Model, measure: Measure, run: Run) -> Callable[..., Any]:
    """Returns a function from weights, images and truth to rows, to be compiled."""

    def rows_of(values: Any, images: Any, truth: Any) -> Any:
        inputs = run.task.model_inputs(model, images.astype(jnp.float32), truth)
        outputs, _ = model.stateless_call(*values, inputs, training=False)
        return measure(outputs, truth)

    return rows_of


def _values(model: keras.Model) -> tuple[list[Any], list[Any]]:
    return (
        [variable.value for variable in model.trainable_variables],
        [variable.value for variable in model.non_trainable_variables],
    )


def of_stream(
    run: Run, model: keras.Model, measure: Measure, spread: Spread
) -> Evaluate:
    """Returns a function that gives the rows of each batch of validation examples."""
    rows_of = _rows_of(model, measure, run)

    # One program: two would exchange their rows in an order that no process knows of
    # the others.
    def with_weights(values: Any, images: Any, truth: Any, weights: Any) -> Any:
        return rows_of(values, images, truth), weights > 0

    compiled = jax.jit(with_weights, out_shardings=spread.whole)
    batches = stream.validation(run, spread.cluster, run.recipe.global_batch)

    def evaluate(check: Check) -> Iterator[Rows]:
        values = spread.copy(_values(model))
        with contextlib.closing(stream.ahead(batches, spread.spread)) as placed:
            for images, truth, weights in placed:
                rows, real = compiled(values, images, truth, weights)
                is_real = np.asarray(real)
                yield {name: np.asarray(array)[is_real] for name, array in rows.items()}
                check()

    return evaluate


def singly(run: Run, model: keras.Model, measure: Measure, spread: Spread) -> Evaluate:
    """Returns a function like `of_stream`'s for examples of any size, one at a time.

    Each process takes its own, on one device; XLA compiles anew for every size.
    """
    rows_of = jax.jit(_rows_of(model, measure, run))
    batches = stream.validation(run, spread.cluster, spread.cluster.workers)

    def evaluate(check: Check) -> Iterator[Rows]:
        values = jax.tree.map(jnp.asarray, _values(model))
        for images, truth, weights in batches:
            rows = dict(rows_of(values, images, truth))
            if spread.cluster.workers > 1:
                rows, weights = multihost_utils.process_allgather(
                    (rows, weights), tiled=True
                )
            is_real = np.asarray(weights) > 0
            yield {name: np.asarray(array)[is_real] for name, array in rows.items()}
            check()

    return evaluate


def in_memory(
    run: Run, model: keras.Model, measure: Measure, spread: Spread, pixels: Any
) -> Evaluate:
    """Returns a function that gives the rows of all validation examples at once.

    Args:
        run: The run.
        model: What is evaluated.
        measure: From its outputs and the truth to rows.
        spread: What the images are spread over.
        pixels: All images and labels, on every device.
    """
    rows_of = _rows_of(model, measure, run)
    at_once = -(-_AT_ONCE // spread.count) * spread.count

    def whole(values: Any, images: Any, truth: Any) -> Any:
        count = len(images)

        def in_parts(array: Any) -> Any:
            more = [(0, -count % at_once), *[(0, 0)] * (array.ndim - 1)]
            return jnp.pad(array, more).reshape(-1, at_once, *array.shape[1:])

        rows = jax.lax.map(
            lambda part: rows_of(values, *spread.along(part)),
            jax.tree.map(in_parts, (images, truth)),
        )
        return jax.tree.map(
            lambda array: array.reshape(-1, *array.shape[2:])[:count], rows
        )

    compiled = jax.jit(whole, out_shardings=spread.whole)

    def evaluate(check: Check) -> Iterator[Rows]:
        del check
        rows = compiled(spread.copy(_values(model)), *pixels)
        yield {name: np.asarray(array) for name, array in rows.items()}

    return evaluate
