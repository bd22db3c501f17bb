"""What Prometheus may know: counts and times, by route and provider, never by text."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from telemetry.events import (
    ADOPTED,
    OFF,
    AttemptHead,
    AttemptStarted,
    Decided,
    Finished,
    FirstByte,
    Planned,
    Recorder,
    Speculated,
)

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

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._route = self._decision = self._provider = "none"
        self._speculation = OFF
        self._classification_ms: int | None = None
        self._ttft_ms: int | None = None

    def decided(self, event: Decided) -> None:
        self._decision, self._classification_ms = event.decision, event.duration_ms

    def planned(self, event: Planned) -> None:
        self._decision, self._route = event.decision, event.route or "none"
        self._provider = event.provider or "none"

    def attempt_started(self, event: AttemptStarted) -> None:
        if not event.speculative:
            self._provider = event.provider

    def speculated(self, event: Speculated) -> None:
        self._speculation = event.outcome
        if event.outcome == ADOPTED:
            self._provider = event.provider

    def attempt_head(self, event: AttemptHead) -> None:
        self._provider = event.provider

    def first_byte(self, event: FirstByte) -> None:
        self._ttft_ms = event.ttft_ms

    def finished(self, event: Finished) -> None:
        metrics, route = self._metrics, self._route
        metrics.requests.labels(route, self._decision, self._provider, str(event.status)).inc()
        if self._speculation != OFF:
            metrics.speculations.labels(self._speculation).inc()
        metrics.total.labels(route).observe(event.total_ms / 1000)
        if self._ttft_ms is not None:
            metrics.ttft.labels(route).observe(self._ttft_ms / 1000)
        if self._classification_ms is not None:
            metrics.classification.observe(self._classification_ms / 1000)
