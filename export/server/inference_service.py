"""What both protocols do: choose a version, compute, count."""

from __future__ import annotations

import contextlib
import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass

from . import errors, examples
from .batching import Batcher
from .errors import Code, Refusal
from .metrics import Metrics
from .servable import Arrays, Signature
from .versions import Models

# Of the request that this thread answers, for messages.
_request_name = contextvars.ContextVar("_request_name", default="a request")


@dataclass(frozen=True)
class Target:
    """What a request is about.

    Attributes:
        model: The model's name.
        number: The version; the newest if `None` and there is no label.
        label: The version's label.
        signature: The signature's name; the default one if empty.
    """

    model: str
    number: int | None = None
    label: str = ""
    signature: str = ""


@dataclass(frozen=True)
class Answer:
    """Outputs, and who computed them."""

    model: str
    number: int
    signature: str
    outputs: Arrays


class InferenceService:
    """Answers requests of either protocol; may be used from many threads."""

    def __init__(
        self, models: Models, batcher: Batcher, metrics: Metrics, timeout_s: float
    ):
        """Makes it.

        Args:
            models: What is served.
            batcher: Where it is computed.
            metrics: Where it is counted.
            timeout_s: The longest that a request may take.
        """
        self.models = models
        self.metrics = metrics
        self.timeout_s = timeout_s
        self._batcher = batcher
        self._lock = threading.Lock()
        self._taken = 0
        self._answered = 0

    @property
    def counts(self) -> tuple[int, int]:
        """How many requests were taken, and how many of them have been answered."""
        with self._lock:
            return self._taken, self._answered

    @contextlib.contextmanager
    def counted(self, model: str, method: str, entrypoint: str) -> Iterator[None]:
        """Counts the request that the body answers.

        Args:
            model: The model that is asked for.
            method: `predict`, `classify` ...
            entrypoint: `REST` or `GRPC`.

        Raises:
            Refusal: The body failed, with whatever error.
        """
        with self._lock:
            self._taken += 1
            name = f"request {self._taken} ({entrypoint} {method} of {model})"
        before = _request_name.set(name)
        begun = time.monotonic()
        code = Code.OK
        try:
            yield
        except Exception as error:
            refusal = errors.of(error)
            code = refusal.code
            raise refusal from error
        finally:
            _request_name.reset(before)
            self.metrics.request(
                model, method, entrypoint, code, time.monotonic() - begun
            )
            with self._lock:
                self._answered += 1

    def predict(
        self,
        target: Target,
        make_inputs: Callable[[Signature], Arrays],
        timeout_s: float | None = None,
        unsigned: Code = Code.INVALID_ARGUMENT,
    ) -> Answer:
        """Returns a signature's outputs.

        Args:
            target: What is asked for.
            make_inputs: Makes the inputs, once it is known who gets them.
            timeout_s: How long the client waits.
            unsigned: What a client is told who asks for a signature that is not there.

        Raises:
            Refusal: There is no answer.
        """
        wait_s = min(self.timeout_s, timeout_s or self.timeout_s)
        deadline = time.monotonic() + wait_s
        with self.models.held(target.model, target.number, target.label) as handle:
            signature = handle.servable.signature(target.signature, unsigned)
            arrays = make_inputs(signature)
            signature.require(arrays)
            pending = self._batcher.submit(
                signature, arrays, deadline, _request_name.get()
            )
            try:
                outputs = pending.result(max(0.0, deadline - time.monotonic()))
            except FutureTimeout:
                raise Refusal(
                    Code.DEADLINE_EXCEEDED, f"Timed out after {wait_s:.1f} s"
                ) from None
            return Answer(handle.model, handle.number, signature.name, outputs)

    def ask_examples(
        self,
        kind: examples.Kind,
        target: Target,
        serialized: list[bytes],
        timeout_s: float | None = None,
    ) -> Answer:
        """Returns the outputs of a signature that takes examples.

        Args:
            kind: What is asked for.
            target: Who is asked.
            serialized: The examples.
            timeout_s: How long the client waits.

        Raises:
            Refusal: There is no answer.
        """

        def inputs(signature: Signature) -> Arrays:
            examples.require(signature, kind)
            return examples.tensor(serialized)

        return self.predict(target, inputs, timeout_s)
