"""What Prometheus is told, under the names that TensorFlow Serving has for it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator

import prometheus_client
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from .errors import Code

PATH = "/monitoring/prometheus/metrics"
CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
_PREFIX = ":tensorflow:serving:"
_LATENCIES_MICROS = tuple(10.0 * 1.8**step for step in range(24))
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class _RequestCount(Collector):
    """How many requests ended how.

    The client library would add `_total` to a counter's name, and then it would no
    longer be the name that dashboards for TensorFlow Serving ask for.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def add(self, model: str, entrypoint: str, code: Code) -> None:
        with self._lock:
            self._counts[model, entrypoint, code.name] += 1

    def collect(self) -> Iterator[Metric]:
        name = _PREFIX + "request_count"
        metric = Metric(name, "Requests by how they ended.", "untyped")
        with self._lock:
            counts = dict(self._counts)
        for (model, entrypoint, status), count in counts.items():
            labels = {"model_name": model, "entrypoint": entrypoint, "status": status}
            metric.add_sample(name, labels, count)
        yield metric


class Metrics:
    """The counts of one server."""

    def __init__(self, models: Callable[[], list[str]]):
        """Makes them, all zero.

        Args:
            models: Tells which models there are. Requests for others are counted under
                an empty name, or clients could make up names without end.
        """
        self._models = models
        self._registry = prometheus_client.CollectorRegistry()
        self._requests = _RequestCount()
        self._registry.register(self._requests)
        prometheus_client.ProcessCollector(registry=self._registry)
        self._latency = prometheus_client.Histogram(
            _PREFIX + "request_latency",
            "Microseconds from a request's last byte to its answer.",
            ("model_name", "API", "entrypoint"),
            buckets=_LATENCIES_MICROS,
            registry=self._registry,
        )
        self._runtime = prometheus_client.Histogram(
            _PREFIX + "runtime_latency",
            "Microseconds that a batch was computed.",
            buckets=_LATENCIES_MICROS,
            registry=self._registry,
        )
        self._rows = prometheus_client.Histogram(
            _PREFIX + "batching_session:processed_batch_size",
            "Rows that were computed together.",
            buckets=_ROWS,
            registry=self._registry,
        )

    def request(
        self, model: str, method: str, entrypoint: str, code: Code, seconds: float
    ) -> None:
        """Counts a request.

        Args:
            model: The model that was asked for.
            method: `predict`, `classify` ...
            entrypoint: `REST` or `GRPC`.
            code: How it ended.
            seconds: How long it took.
        """
        known = model if model in self._models() else ""
        self._requests.add(known, entrypoint, code)
        self._latency.labels(known, method, entrypoint).observe(1e6 * seconds)

    def batch(self, rows: int, seconds: float) -> None:
        """Counts a batch.

        Args:
            rows: Its rows.
            seconds: How long it was computed.
        """
        self._rows.observe(rows)
        self._runtime.observe(1e6 * seconds)

    def text(self) -> bytes:
        """Returns all of it in Prometheus' text format."""
        return prometheus_client.generate_latest(self._registry)
