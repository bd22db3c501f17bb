"""What Prometheus may know: counts and times, by route and provider, never by text."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from telemetry.events import OFF, Finished, Recorder
from telemetry.summary import Summary

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """The counters of this process."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        space = "headstart"
        self.requests = Counter(
            "requests_total",
            "Requests that ended",
            ("route", "decision", "provider", "status"),
            namespace=space,
            registry=registry,
        )
        self.speculations = Counter(
            "speculations_total",
            "Speculative primary calls by how they ended",
            ("outcome",),
            namespace=space,
            registry=registry,
        )
        self.in_flight = Gauge(
            "requests_in_flight", "Requests accepted and not finished", namespace=space, registry=registry
        )
        self.total = self._histogram("request_seconds", "Arrival to end", "route")
        self.ttft = self._histogram("ttft_seconds", "Arrival to the first byte of content sent", "route")
        self.classification = self._histogram("classification_seconds", "Time to a decision")

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=_SECONDS, namespace="headstart", registry=self._registry)

    def text(self) -> tuple[bytes, str]:
        """The exposition, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


class RequestMetrics(Recorder):
    """Counts one request when it has finished."""

    def __init__(self, metrics: Metrics, summary: Summary) -> None:
        self._metrics = metrics
        self._request = summary

    def finished(self, event: Finished) -> None:
        metrics, request = self._metrics, self._request
        route, decision = request.route or "none", request.decision or "none"
        provider = request.provider or "none"
        metrics.requests.labels(route, decision, provider, str(event.status)).inc()
        if request.speculation != OFF:
            metrics.speculations.labels(request.speculation).inc()
        metrics.total.labels(route).observe(event.total_ms / 1000)
        if request.ttft_ms is not None:
            metrics.ttft.labels(route).observe(request.ttft_ms / 1000)
        if request.classification_ms is not None:
            metrics.classification.observe(request.classification_ms / 1000)
