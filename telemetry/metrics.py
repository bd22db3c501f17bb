"""What Prometheus may know: counts and times, by route and provider, never by text."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    def __init__(self):
        self._registry = CollectorRegistry()
        make = {"registry": self._registry, "namespace": "headstart"}
        self.requests = Counter(
            "requests_total", "Requests that ended", ("route", "decision", "provider", "status"), **make
        )
        self.speculations = Counter(
            "speculations_total", "Speculative primary calls by how they ended", ("outcome",), **make
        )
        self.in_flight = Gauge("requests_in_flight", "Requests accepted and not finished", **make)
        self.total = Histogram("request_seconds", "Arrival to end", ("route",), buckets=_SECONDS, **make)
        self.ttft = Histogram(
            "ttft_seconds", "Arrival to the first byte of content sent", ("route",), buckets=_SECONDS, **make
        )
        self.classification = Histogram(
            "classification_seconds", "Time to a decision", buckets=_SECONDS, **make
        )

    def settled(self, exchange):
        """Count a request that has ended."""
        route = exchange.route or "none"
        self.requests.labels(
            route, exchange.decision or "none", exchange.provider or "none", str(exchange.status)
        ).inc()
        if exchange.speculation_outcome != "off":
            self.speculations.labels(exchange.speculation_outcome).inc()
        self.total.labels(route).observe(exchange.total_ms / 1000)
        if exchange.ttft_ms is not None:
            self.ttft.labels(route).observe(exchange.ttft_ms / 1000)
        if exchange.classification_ms is not None:
            self.classification.observe(exchange.classification_ms / 1000)

    def text(self):
        """(body bytes, content type) of the exposition."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
