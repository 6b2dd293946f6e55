"""Requests that come at the same time are computed together.

The rules are TensorFlow Serving's: a batch is closed when it is full or when its first
request has waited for `timeout_micros`, and a request that finds too many batches
waiting is refused. Only requests to the same signature of the same version, with
images of the same shape, are put together. Where a batch fails, each of its requests
is computed alone, so that nobody gets an error for a neighbor's mistake.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from keras_convnext.decoder_lines import name_decoded

from .errors import Code, Refusal, invalid
from .servable import Arrays, Signature


@dataclass(frozen=True)
class Parameters:
    """How requests are put together; the names are TensorFlow Serving's.

    Attributes:
        max_batch_size: Rows in a batch, and in a single request, at most.
        batch_timeout_micros: How long the first request of a batch waits for others
            while a thread is free. At 0 only requests that had to wait anyway are put
            together.
        max_enqueued_batches: Batches that wait at most.
        num_batch_threads: Batches that are computed at the same time.
    """

    max_batch_size: int = 32
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 100
    num_batch_threads: int = 2


@dataclass
class _Task:
    arrays: Arrays
    rows: int
    deadline: float
    name: str
    answer: Future[Arrays] = field(default_factory=Future)


@dataclass
class _Batch:
    signature: Signature
    key: Hashable
    begun: float
    tasks: list[_Task] = field(default_factory=list)
    rows: int = 0


class Batcher:
    """Threads that compute what is submitted."""

    def __init__(
        self,
        parameters: Parameters,
        observe: Callable[[int, float], None] = lambda rows, seconds: None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Starts the threads.

        Args:
            parameters: How requests are put together.
            observe: Is told the rows of each batch and how long it was computed.
            clock: Tells the time in seconds; deadlines are in its terms.
        """
        self.parameters = parameters
        self._observe = observe
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: list[_Batch] = []
        self._closing = False
        self._lonely = itertools.count()
        self._threads = [
            threading.Thread(target=self._work, name=f"batch-{index}", daemon=True)
            for index in range(parameters.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self,
        signature: Signature,
        arrays: Arrays,
        deadline: float,
        name: str = "a request",
    ) -> Future[Arrays]:
        """Returns the future of the outputs.

        Args:
            signature: What is called.
            arrays: Its inputs, checked.
            deadline: When nobody waits for the answer any more.
            name: What the request is called in messages.

        Raises:
            Refusal: The request has too many rows, or too many others wait.
        """
        rows, key = self._shared(signature, arrays)
        most = self.parameters.max_batch_size
        if rows > most:
            raise invalid(
                f"Task size {rows} is larger than maximum input batch size {most}"
            )
        task = _Task(arrays, rows, deadline, name)
        with self._changed:
            batch = self._open_batch(key, rows)
            if batch is None:
                if len(self._waiting) >= self.parameters.max_enqueued_batches:
                    raise Refusal(
                        Code.UNAVAILABLE,
                        "The batch scheduling queue to which this task was submitted "
                        "is full",
                    )
                batch = _Batch(signature, key, self._clock())
                self._waiting.append(batch)
            batch.tasks.append(task)
            batch.rows += rows
            self._changed.notify()
        return task.answer

    def close(self, longest_s: float | None = None) -> None:
        """Computes what has been submitted, then ends the threads.

        Args:
            longest_s: How long to wait for each of them; without end if `None`.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(longest_s)

    def _shared(self, signature: Signature, arrays: Arrays) -> tuple[int, Hashable]:
        """Returns a request's rows, and what requests have in common with it."""
        firsts = {array.shape[:1] for array in arrays.values()}
        # Rows are bounded even where requests cannot be put together.
        rows: int = max((first[0] for first in firsts if first), default=1)
        if len(firsts) != 1 or () in firsts or not signature.takes_any_batch:
            return rows, next(self._lonely)
        shapes = ((name, array.shape[1:]) for name, array in arrays.items())
        return rows, (id(signature), tuple(sorted(shapes)))

    def _open_batch(self, key: Hashable, rows: int) -> _Batch | None:
        for batch in reversed(self._waiting):
            if batch.key == key:
                fits = batch.rows + rows <= self.parameters.max_batch_size
                return batch if fits else None
        return None

    def _ready(self) -> _Batch | None:
        """Returns the oldest batch that need not wait longer."""
        latest = self._clock() - self.parameters.batch_timeout_micros / 1e6
        seen = set()
        for batch in reversed(self._waiting):
            # All but the last of a kind were closed because they were full.
            is_open = batch.key not in seen and (
                batch.rows < self.parameters.max_batch_size
            )
            seen.add(batch.key)
            if not is_open:
                batch.begun = min(batch.begun, latest)
        for batch in self._waiting:
            if self._closing or batch.begun <= latest:
                return batch
        return None

    def _next(self) -> _Batch | None:
        """Waits for a batch; returns `None` when there will be no more."""
        with self._changed:
            while True:
                batch = self._ready()
                if batch is not None:
                    self._waiting.remove(batch)
                    return batch
                if self._closing:
                    return None
                timeout = None
                if self._waiting:
                    begun = min(batch.begun for batch in self._waiting)
                    waits = self.parameters.batch_timeout_micros / 1e6
                    timeout = max(0.0, begun + waits - self._clock())
                self._changed.wait(timeout)

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            tasks = []
            for task in batch.tasks:
                if task.deadline < self._clock():
                    task.answer.set_exception(
                        Refusal(
                            Code.DEADLINE_EXCEEDED, "Deadline exceeded in the queue"
                        )
                    )
                else:
                    tasks.append(task)
            self._compute(batch.signature, tasks)
            del batch, tasks

    def _compute(self, signature: Signature, tasks: Sequence[_Task]) -> None:
        if not tasks:
            return
        begun = self._clock()
        try:
            with name_decoded(" and ".join(task.name for task in tasks)):
                outputs = signature.run(_joined(tasks))
            parts = _split(outputs, tasks)
        except Exception as error:
            if len(tasks) > 1:
                for task in tasks:
                    self._compute(signature, [task])
            else:
                tasks[0].answer.set_exception(error)
            return
        self._observe(sum(task.rows for task in tasks), self._clock() - begun)
        for task, part in zip(tasks, parts, strict=True):
            task.answer.set_result(part)


def _joined(tasks: Sequence[_Task]) -> Arrays:
    if len(tasks) == 1:
        return tasks[0].arrays
    return {
        name: np.concatenate([task.arrays[name] for task in tasks])
        for name in tasks[0].arrays
    }


def _split(outputs: Arrays, tasks: Sequence[_Task]) -> list[Arrays]:
    """Returns each request's rows of the outputs.

    Raises:
        ValueError: An output has not a row for each of the inputs'.
    """
    if len(tasks) == 1:
        return [outputs]
    ends = np.cumsum([task.rows for task in tasks])
    for name, output in outputs.items():
        if output.ndim == 0 or len(output) != ends[-1]:
            raise ValueError(f"output {name!r} has not a row for each row put in")
    starts = [0, *ends[:-1]]
    return [
        {name: output[start:end] for name, output in outputs.items()}
        for start, end in zip(starts, ends, strict=True)
    ]
