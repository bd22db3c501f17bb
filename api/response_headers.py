"""The response headers that say what became of a request (CONTRACT: HTTP)."""

from telemetry.events import (
    ADOPTED,
    OFF,
    Arrived,
    AttemptEnded,
    AttemptHead,
    AttemptStarted,
    Decided,
    Enriched,
    Planned,
    Recorder,
    Speculated,
)


class ResponseHeaders(Recorder):
    """Knows at any moment what the headers would say."""

    def __init__(self) -> None:
        self._session: str | None = None
        self._decision: str | None = None
        self._route: str | None = None
        self._provider: str | None = None
        self._speculation = OFF
        self._budget_exhausted = False
        self._classification_ms: int | None = None
        self._enrichment_ms: int | None = None
        self._inference_started_ms: int | None = None
        self._inference_ended_ms: int | None = None

    def arrived(self, event: Arrived) -> None:
        self._session = event.session

    def decided(self, event: Decided) -> None:
        self._decision, self._classification_ms = event.decision, event.duration_ms

    def planned(self, event: Planned) -> None:
        self._decision, self._route, self._provider = event.decision, event.route, event.provider
        self._budget_exhausted = event.budget_exhausted

    def attempt_started(self, event: AttemptStarted) -> None:
        if not event.speculative:
            self._provider = event.provider

    def speculated(self, event: Speculated) -> None:
        self._speculation = event.outcome
        if event.outcome == ADOPTED:
            self._provider = event.provider

    def attempt_head(self, event: AttemptHead) -> None:
        self._provider, self._inference_started_ms = event.provider, event.started_ms

    def attempt_ended(self, event: AttemptEnded) -> None:
        if event.is_answer:
            self._inference_started_ms, self._inference_ended_ms = event.started_ms, event.ended_ms

    def enriched(self, event: Enriched) -> None:
        self._enrichment_ms = event.duration_ms

    def values(self, now_ms: int) -> dict[str, str]:
        """The headers at this moment. now_ms: since the request's arrival."""
        started_ms, ended_ms = self._inference_started_ms, self._inference_ended_ms
        inference_ms = None if started_ms is None else (now_ms if ended_ms is None else ended_ms) - started_ms
        times = {
            "classification": self._classification_ms,
            "enrichment": self._enrichment_ms,
            "inference": inference_ms,
        }
        headers = {
            "X-Session-Id": self._session,
            "X-Decision": self._decision,
            "X-Route": self._route,
            "X-Provider": self._provider,
            "X-Speculation": self._speculation,
            "X-Budget": "exhausted" if self._budget_exhausted else None,
            "Server-Timing": ", ".join(f"{name};dur={ms}" for name, ms in times.items() if ms is not None),
        }
        return {name: value for name, value in headers.items() if value}
