"""What a run would be, told before it: images, steps, parameters, memory, time."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import replace
from typing import Any

import keras

from keras_convnext._messages import UsageError
from keras_convnext.variants import VARIANTS

from ..data.pipeline import WorkerShard
from ..data.source import Source
from ..recipes import expected, listing, table
from ..recipes.recipe import Recipe
from ..report.progress import clock
from ..tasks.task import Task
from ..workdir import history
from ..workdir.layout import Workdir
from . import first_step
from .run import Backend

_GIB = 2**30
# How long batches are read, to see how fast the pipeline is.
_READ_SECONDS = 3.0
# Values of accumulation_steps that are compared.
_PARTS = (1, 2, 4, 8, 16)


def describe(
    recipe: Recipe, task: Task, source: Source, workdir: Workdir, backend: Backend
) -> list[str]:
    """Returns a line for each thing to know of a run before it begins.

    Args:
        recipe: Its numbers.
        task: What it is for.
        source: Its data.
        workdir: Where it would write; what an earlier session left there is read.
        backend: What would take the steps.

    Raises:
        UsageError: The recipe makes no network, or does not fit the devices.
    """
    larger = first_step.check_batch(recipe, source.train_examples, backend.replicas)
    steps = source.steps_per_epoch(recipe.global_batch)
    parts = f", each in {recipe.accumulation_steps} parts"
    rows = {
        "devices": f"{backend.describe()}, {recipe.precision}",
        "images": f"{source.train_examples:,} for training, "
        f"{source.validation_examples:,} for validation, "
        f"{len(source.classes):,} classes",
        "steps": f"{steps:,} an epoch of {recipe.global_batch} images"
        f"{parts * (recipe.accumulation_steps > 1)}, {steps * recipe.epochs:,} in "
        f"{recipe.epochs} epochs",
        "parameters": f"{_count_parameters(recipe, task, source):,}, {recipe.variant}",
        "memory": _memory(recipe, backend.replicas, len(source.classes)),
        "in parts": _memory_in_parts(recipe, backend.replicas, len(source.classes)),
        "pipeline": _pipeline(recipe, task, source),
        "time": _time(recipe, workdir, steps),
    }
    longest = max(map(len, rows))
    lines = [f"{name:<{longest}}  {words}" for name, words in rows.items()]
    return [*lines, *([larger] if larger else [])]


def _count_parameters(recipe: Recipe, task: Task, source: Source) -> int:
    """Returns how many numbers the training model has, without loading weights."""
    try:
        model = task.build_training_model(replace(recipe, weights=None), source)
    except ValueError as error:
        raise UsageError(f"recipe {recipe.name}: {error}") from error
    return int(model.count_params())


def _memory(recipe: Recipe, replicas: int, classes: int) -> str:
    if recipe.variant not in VARIANTS:
        return "not known"
    image, fixed = first_step.bytes_of(recipe, replicas, classes)
    at_once = -(-recipe.global_batch // recipe.accumulation_steps)
    free = first_step.free_bytes()
    room = "" if free is None else f"; {free / _GIB:,.1f} GiB of the system's are free"
    return (
        f"about {(at_once * image + fixed) / _GIB:,.1f} GiB for a step: "
        f"{image / 2**20:,.0f} MiB for each of {at_once:,} images at once, "
        f"{fixed / _GIB:,.2f} GiB for weights and optimizer (estimated from the widths "
        f"of {recipe.variant} at {recipe.size_px} px){room}"
    )


def _memory_in_parts(recipe: Recipe, replicas: int, classes: int) -> str:
    """Returns the memory of a step by the parts that a batch may be taken in."""
    if recipe.variant not in VARIANTS:
        return "not known"
    image, fixed = first_step.bytes_of(recipe, replicas, classes)
    batch = recipe.global_batch
    shown = (
        f"{(batch // parts * image + fixed) / _GIB:,.2f} GiB at {parts}"
        for parts in _PARTS
        if batch % (parts * replicas) == 0
    )
    return f"by accumulation_steps: {', '.join(shown)} (estimated)"


def _pipeline(recipe: Recipe, task: Task, source: Source) -> str:
    """Reads batches for a few seconds, and tells how fast they come."""
    if keras.backend.backend() != "tensorflow":
        return "not measured"
    share = WorkerShard(recipe.global_batch, 0, 1)
    batches = iter(task.training_batches(source, recipe, share, 0, 0))
    next(batches)  # Which waits for the graph to be built, and for the shuffling.
    began, count = time.monotonic(), 0
    for _ in batches:
        count += recipe.global_batch
        if time.monotonic() - began > _READ_SECONDS:
            break
    seconds = time.monotonic() - began
    if not count:
        return "not measured: an epoch has one batch"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    words = f"{count / seconds:,.0f} images a second are read and augmented"
    if cores:
        words += f" by {cores} cores, {count / seconds / cores:,.0f} a core"
    return f"{words} (measured on {count:,} images; a faster device waits for them)"


def _time(recipe: Recipe, workdir: Workdir, steps: int) -> str:
    rows = history.read(workdir.history)
    if speeds := [row["images_per_second"] for row in rows if _has_speed(row)]:
        left = (recipe.epochs - len(rows)) * steps * recipe.global_batch
        seconds = left / statistics.median(speeds)
        return (
            f"about {clock(seconds)} of training for the {recipe.epochs - len(rows)} "
            f"epochs left, at the {statistics.median(speeds):,.0f} images a second of "
            f"the {len(rows)} done"
        )
    row = table.RECIPES.get(recipe.name)
    known = None if row is None else expected.expect(row)
    if known is None or known.minutes is None:
        return "not known before the first epoch; progress tells it"
    return (
        f"not known here; {recipe.name} as it is took {listing.format_time(known)} on "
        f"{known.data} with {known.hardware}"
    )


def _has_speed(row: Any) -> bool:
    return row.get("images_per_second", 0) > 0
