"""What most records say of a request, kept up to date while it happens."""

from errors import Reason
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
    PassedOver,
    Planned,
    Recorder,
    Speculated,
    Unsearched,
)

NO_SEARCH = "no-search"
# How X-Degraded says a reason; the others are said by their detail.
_WORDS = {
    Reason.DISABLED: "disabled",
    Reason.FULL: "busy",
    Reason.UNREACHABLE: "unreachable",
    Reason.TIMED_OUT: "too slow",
    Reason.EMPTY: "empty answer",
    Reason.NO_VISION: "cannot see pictures",
    Reason.NO_AUDIO: "cannot hear audio",
    Reason.NO_TOOLS: "cannot use tools",
    Reason.CONTEXT_TOO_LONG: "context too long",
    Reason.NO_COMPLETIONS: "no text completions",
    Reason.API: "other API",
    Reason.UNSUPPORTED: "not supported",
}


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
        self.passed: list[PassedOver] = []  # of the chain, in its order
        self.unsearched_by: Unsearched | None = None
        self.degraded: str | None = None  # why not the first of the chain answers, or not with a search
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

    def passed_over(self, event: PassedOver) -> None:
        self.passed.append(event)

    def unsearched(self, event: Unsearched) -> None:
        self.unsearched_by = event

    def attempt_started(self, event: AttemptStarted) -> None:
        if not event.speculative:
            self.provider = event.provider

    def speculated(self, event: Speculated) -> None:
        self.speculation = event.outcome
        if event.outcome == ADOPTED:
            self.provider = event.provider

    def attempt_head(self, event: AttemptHead) -> None:
        self.provider, self.inference_started_ms = event.provider, event.started_ms
        missing = [NO_SEARCH] if self.unsearched_by else []
        missing += [_in_words(event) for event in self.passed[:1]]
        self.degraded = "; ".join(missing) or None

    def first_byte(self, event: FirstByte) -> None:
        self.ttft_ms = event.ttft_ms

    def attempt_ended(self, event: AttemptEnded) -> None:
        if event.is_answer:
            self.provider = event.provider
            self.inference_started_ms = event.started_ms
            self.inference_ms = event.ended_ms - event.started_ms

    def enriched(self, event: Enriched) -> None:
        self.enrichment_ms = event.duration_ms


def _in_words(event: PassedOver) -> str:
    """The first provider that does not answer, and why, for X-Degraded: a header has no other letters."""
    return _words(event).encode("ascii", "replace").decode()


def _words(event: PassedOver) -> str:
    reason = Reason(event.reason)
    if reason == Reason.OVER_BUDGET:
        return "budget"
    if reason == Reason.NOT_ALLOWED:
        return event.detail or reason
    said = _WORDS.get(reason) or event.detail or reason
    if reason == Reason.RESTING:
        said = f"resting ({event.detail})"
    return f"{event.provider}: {said}"
