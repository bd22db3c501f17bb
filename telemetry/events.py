"""What happens to a request, as values; and who is told.

The exchange notifies its recorders of these events, in the order in which they happen and always from the
request's own thread. A recorder keeps what it needs and writes it down when the request has finished: the log
line, the session file, the ledger rows and the metrics are one recorder each, and none of them knows of
another.

All times are whole milliseconds from the request's arrival.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from telemetry.logs import fields
from wire import JsonObject
from wire.usage import Usage

ADOPTED, CANCELLED, FAILED, OFF = "adopted", "cancelled", "failed", "off"  # how a speculation ends
ANSWERED = "answered"  # or CANCELLED or FAILED: how a call ends

log = logging.getLogger(__name__)


class Event:
    """One thing that happens to a request. `name` is the method of a recorder that is called for it."""

    name: ClassVar[str]


@dataclass(frozen=True, slots=True)
class Arrived(Event):
    """The request has reached us; nothing of it has been read. The first event of every request."""

    name: ClassVar[str] = "arrived"
    session: str
    timestamp: datetime
    client_ip: str | None
    api: str


@dataclass(frozen=True, slots=True)
class Accepted(Event):
    """The body has been read and checked.

    messages: as the client sent them. user_text: of the user's last turn.
    """

    name: ClassVar[str] = "accepted"
    model: str | None
    stream: bool
    messages: list[JsonObject] | None
    user_text: str | None
    total_chars: int


@dataclass(frozen=True, slots=True)
class Decided(Event):
    """The classifier, or a marker of a frontend's housekeeping, has decided.

    model: the classifier's, None where none was asked. route: where the decision alone would lead.
    confidence, probabilities: None and {} where the source gives none. raw: the source's own words.
    """

    name: ClassVar[str] = "decided"
    decision: str
    route: str
    confidence: float | None
    probabilities: Mapping[str, float]
    source: str
    raw: str | None
    error: str | None
    model: str | None
    started_ms: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Affinity:
    """The conversation's last target. known_by: what identified the conversation."""

    known_by: str
    route: str
    provider: str


@dataclass(frozen=True, slots=True)
class Planned(Event):
    """It is settled how the request is served.

    route: None for what no route serves. provider: where there is only one to choose. affinity: None for a
    conversation's first turn. stayed: with that target, although the decision was for another.
    """

    name: ClassVar[str] = "planned"
    decision: str
    route: str | None
    slow_ms: int | None
    chain: tuple[str, ...] = ()
    provider: str | None = None
    affinity: Affinity | None = None
    stayed: bool = False
    budget_exhausted: bool = False


@dataclass(frozen=True, slots=True)
class AttemptStarted(Event):
    """A provider is being called. number: counts the request's calls. speculative: before the decision."""

    name: ClassVar[str] = "attempt_started"
    number: int
    provider: str
    started_ms: int
    speculative: bool


@dataclass(frozen=True, slots=True)
class Speculated(Event):
    """A speculation was adopted, cancelled or has failed. cancel_ms: how long the cancelling took."""

    name: ClassVar[str] = "speculated"
    outcome: str
    provider: str
    cancel_ms: int | None = None


@dataclass(frozen=True, slots=True)
class AttemptHead(Event):
    """A call has its first content, and its answer is the one that the client gets.

    connect_ms, ttft_ms: from the call's own start; connect_ms is None where it never connected.
    """

    name: ClassVar[str] = "attempt_head"
    number: int
    provider: str
    started_ms: int
    status: int | None
    connect_ms: int | None
    ttft_ms: int | None
    speculative: bool


@dataclass(frozen=True, slots=True)
class FirstByte(Event):
    """The first content is on its way to the client."""

    name: ClassVar[str] = "first_byte"
    ttft_ms: int


@dataclass(frozen=True, slots=True)
class AttemptEnded(Event):
    """A call has ended.

    is_answer: its answer, or its refusal, is what the client gets. for_decision: it asked a chat model for
    the decision. outcome: answered, cancelled or failed. error: why it ended badly. failure: the kind of
    error the request met by it, None where nobody waited for it. sent_body: what went out. native: in the
    client's own API, untouched. usage: the provider's own object; used: the same as tokens, or an estimate.
    content: the beginning of the answer.
    """

    name: ClassVar[str] = "attempt_ended"
    number: int
    provider: str
    model: str
    url: str | None
    started_ms: int
    ended_ms: int
    ttft_ms: int | None
    queued_ms: int
    status: int | None
    finish_reason: str | None
    outcome: str
    error: str | None
    failure: str | None
    speculative: bool
    is_answer: bool
    for_decision: bool
    sent_body: JsonObject
    native: bool
    usage: JsonObject | None
    used: Usage
    cost_usd: float | None
    content: str | None


@dataclass(frozen=True, slots=True)
class Enriched(Event):
    """The search for context has ended, well or not.

    step: as it stands in the session file. outcome: answered, cancelled or failed.
    """

    name: ClassVar[str] = "enriched"
    step: JsonObject
    outcome: str
    started_ms: int
    duration_ms: int
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class Finished(Event):
    """The response has been closed; the last event of every request, exactly once.

    status: what the client got; 499 for one that left. error: why it failed. worth_keeping: whether a record
    is wanted.
    """

    name: ClassVar[str] = "finished"
    status: int
    total_ms: int
    error: str | None
    worth_keeping: bool


class Recorder:
    """Is told what happens to one request. A subclass overrides what it wants to know.

    One object serves one request, so it may keep state without a lock.
    """

    def arrived(self, event: Arrived) -> None: ...

    def accepted(self, event: Accepted) -> None: ...

    def decided(self, event: Decided) -> None: ...

    def planned(self, event: Planned) -> None: ...

    def attempt_started(self, event: AttemptStarted) -> None: ...

    def speculated(self, event: Speculated) -> None: ...

    def attempt_head(self, event: AttemptHead) -> None: ...

    def first_byte(self, event: FirstByte) -> None: ...

    def attempt_ended(self, event: AttemptEnded) -> None: ...

    def enriched(self, event: Enriched) -> None: ...

    def finished(self, event: Finished) -> None: ...


class Recorders:
    """All recorders of one request. One that raises costs a line in the log, and nothing else."""

    def __init__(self, recorders: Iterable[Recorder]) -> None:
        self._recorders = tuple(recorders)

    def notify(self, event: Event) -> None:
        """Tell every recorder. Never raises."""
        for recorder in self._recorders:
            try:
                getattr(recorder, event.name)(event)
            except Exception:
                self._failed(recorder, event)

    @staticmethod
    def _failed(recorder: Any, event: Event) -> None:
        log.exception("Recorder failed:", extra=fields(recorder=type(recorder).__name__, event=event.name))
