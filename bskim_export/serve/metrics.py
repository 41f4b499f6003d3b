"""What a service counts, in the words of Prometheus."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from bskim_export.serve.served import ServedBundle

SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10, 30, 60)
"""Bounds of the histogram of times."""


class Metrics:
    """The metrics of one service.

    Args:
        bundles: by their names
    """

    def __init__(self, bundles: "Mapping[str, ServedBundle]"):
        self._registry = CollectorRegistry()
        self._registry.register(_Bundles(bundles))
        self._requests = self._counter("requests", "Requests, by status code.", "task", "code")
        self._seconds = Histogram(
            "bskim_request_seconds", "From the end of a request to its answer, of those that got one.",
            ["bundle", "task"], registry=self._registry, buckets=SECONDS,
        )  # fmt: skip
        self._tallied = {
            "windows": self._counter("windows", "Windows that ran."),
            "left": self._counter("windows_left", "Windows that left before the last layer."),
            "positions": self._counter("positions", "Positions of the windows that ran."),
            "blocks": self._counter("blocks", "Passage blocks of the windows that ran."),
            "batches": self._counter("batches", "Batches of windows."),
            "batched": self._counter("batched_windows", "Windows of these batches."),
            "macs": self._counter("macs", "Multiply-accumulates that were done."),
            "dense_macs": self._counter("dense_macs", "Those of the dense model on the same windows."),
            "seconds": self._counter("computing_seconds", "Time spent running windows."),
        }
        self._dropped = self._counter("blocks_dropped", "Passage blocks that were dropped after a layer.", "layer")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"bskim_{name}", text, ["bundle", *labels], registry=self._registry)

    def answered(self, bundle: str, task: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(bundle, task, str(status)).inc()
        if status == 200:
            self._seconds.labels(bundle, task).observe(seconds)

    def ran(self, bundle: str, tally: Mapping[str, Any]) -> None:
        """Count what was run for a request; see `jobs.Tally`."""
        for name, counter in self._tallied.items():
            counter.labels(bundle).inc(tally[name])
        for layer, count in tally["dropped"].items():
            self._dropped.labels(bundle, layer).inc(count)

    def text(self) -> bytes:
        """Return all of them, in Prometheus' text format."""
        return generate_latest(self._registry)


class _Bundles(Collector):
    """What is asked of the bundles when somebody looks."""

    def __init__(self, bundles: "Mapping[str, ServedBundle]"):
        self._bundles = bundles

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics."""
        for kind, name, text, value in (
            (GaugeMetricFamily, "bskim_waiting", "Requests that wait or run.", lambda b: b.waiting),
            (GaugeMetricFamily, "bskim_workers", "Worker processes that can answer.", lambda b: len(b.processes)),
            (CounterMetricFamily, "bskim_worker_restarts", "Workers that ended by themselves.", lambda b: b.restarts),
            (CounterMetricFamily, "bskim_reloads", "Bundles that were taken over.", lambda b: b.reloads),
            (CounterMetricFamily, "bskim_failed_reloads", "Bundles that could not be.", lambda b: b.failed_reloads),
        ):
            family = kind(name, text, labels=["bundle"])
            for bundle in self._bundles.values():
                family.add_metric([bundle.name], value(bundle))
            yield family
