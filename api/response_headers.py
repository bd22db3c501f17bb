"""The response headers that say what became of a request (CONTRACT: HTTP)."""

from telemetry.summary import Summary


class ResponseHeaders(Summary):
    """Knows at any moment what the headers would say."""

    def values(self, now_ms: int) -> dict[str, str]:
        """The headers at this moment. now_ms: since the request's arrival."""
        inference_ms = self.inference_ms
        if inference_ms is None and self.inference_started_ms is not None:
            inference_ms = now_ms - self.inference_started_ms
        times = {
            "classification": self.classification_ms,
            "enrichment": self.enrichment_ms,
            "inference": inference_ms,
        }
        headers = {
            "X-Session-Id": self.session,
            "X-Decision": self.decision,
            "X-Route": self.route,
            "X-Provider": self.provider,
            "X-Speculation": self.speculation,
            "X-Budget": "exhausted" if self.budget_exhausted else None,
            "Server-Timing": ", ".join(f"{name};dur={ms}" for name, ms in times.items() if ms is not None),
        }
        return {name: value for name, value in headers.items() if value}
