"""What most records say of a request, kept up to date while it happens."""

from telemetry.events import (
    ADOPTED,
    OFF,
    Accepted,
    Arrived,
    AttemptEnded,
    AttemptHead,
    AttemptStarted,
    Decided,
    Enriched,
    FirstByte,
    Planned,
    Recorder,
    Speculated,
)


class Summary(Recorder):
    """Who a request is, how it was decided, who serves it, and how long each stage took.

    One object serves all recorders of a request and learns of each event before them. A value is None as long
    as it is not known.
    """

    def __init__(self) -> None:
        self.session = ""
        self.client_ip: str | None = None
        self.key: str | None = None  # its name
        self.stream = False
        self.decision: str | None = None
        self.route: str | None = None
        self.slow_ms: int | None = None
        self.provider: str | None = None
        self.speculation = OFF
        self.budget_exhausted = False
        self.classification_ms: int | None = None
        self.enrichment_ms: int | None = None
        self.inference_started_ms: int | None = None
        self.inference_ms: int | None = None
        self.ttft_ms: int | None = None

    def arrived(self, event: Arrived) -> None:
        self.session, self.client_ip, self.key = event.session, event.client_ip, event.key

    def accepted(self, event: Accepted) -> None:
        self.stream = event.stream

    def decided(self, event: Decided) -> None:
        self.decision, self.classification_ms = event.decision, event.duration_ms

    def planned(self, event: Planned) -> None:
        self.decision, self.route, self.slow_ms = event.decision, event.route, event.slow_ms
        self.provider, self.budget_exhausted = event.provider, event.budget_exhausted

    def attempt_started(self, event: AttemptStarted) -> None:
        if not event.speculative:
            self.provider = event.provider

    def speculated(self, event: Speculated) -> None:
        self.speculation = event.outcome
        if event.outcome == ADOPTED:
            self.provider = event.provider

    def attempt_head(self, event: AttemptHead) -> None:
        self.provider, self.inference_started_ms = event.provider, event.started_ms

    def first_byte(self, event: FirstByte) -> None:
        self.ttft_ms = event.ttft_ms

    def attempt_ended(self, event: AttemptEnded) -> None:
        if event.is_answer:
            self.inference_started_ms = event.started_ms
            self.inference_ms = event.ended_ms - event.started_ms

    def enriched(self, event: Enriched) -> None:
        self.enrichment_ms = event.duration_ms
