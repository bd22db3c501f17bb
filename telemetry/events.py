"""What happens to a request, as values; and who is told.

The exchange notifies its recorders of these events, in the order in which they happen and always from the
request's own thread. A recorder keeps what it needs and writes it down when the request has finished: the log
line, the session file, the ledger rows and the metrics are one recorder each, and none of them knows of
another.

All times are whole milliseconds from the request's arrival.
"""

import logging
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import NamedTuple, get_args

from telemetry.logs import fields
from wire import JsonObject
from wire.usage import Usage

ADOPTED, CANCELLED, FAILED, OFF = "adopted", "cancelled", "failed", "off"  # how a speculation ends
ANSWERED = "answered"  # or CANCELLED or FAILED: how a call ends

log = logging.getLogger(__name__)


class Arrived(NamedTuple):
    """The request has reached us; nothing of it has been read. The first event of every request.

    key: the name of the client's key, None for one without a name.
    """

    session: str
    timestamp: datetime
    client_ip: str | None
    api: str
    key: str | None = None


class Accepted(NamedTuple):
    """The body has been read and checked.

    messages: as the client sent them. user_text: of the user's last turn.
    """

    model: str | None
    stream: bool
    messages: list[JsonObject] | None
    user_text: str | None
    total_chars: int


class Decided(NamedTuple):
    """The classifier, or a marker of a frontend's housekeeping, has decided.

    model: the classifier's, None where none was asked. route: where the decision alone would lead.
    confidence, probabilities: None and {} where the source gives none. raw: the source's own words.
    """

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


class Affinity(NamedTuple):
    """The conversation's last target. known_by: what identified the conversation."""

    known_by: str
    route: str
    provider: str


class Planned(NamedTuple):
    """It is settled how the request is served.

    route: None for what no route serves. provider: where there is only one to choose. affinity: None for a
    conversation's first turn. stayed: with that target, although the decision was for another.
    """

    decision: str
    route: str | None
    slow_ms: int | None
    chain: tuple[str, ...] = ()
    provider: str | None = None
    affinity: Affinity | None = None
    stayed: bool = False
    budget_exhausted: bool = False


class PassedOver(NamedTuple):
    """A provider of the chain does not answer, and why; told in the order of the chain, before who answers.

    reason: a value of errors.Reason. detail: more about it, never a provider's own words; None for nothing.
    """

    provider: str
    reason: str
    detail: str | None = None


class Unsearched(NamedTuple):
    """An enriched answer is written without live information, and why.

    provider: who should have searched, None where nobody can. reason, detail: as in PassedOver.
    """

    provider: str | None
    reason: str
    detail: str | None = None


class AttemptStarted(NamedTuple):
    """A provider is being called. number: counts the request's calls. speculative: before the decision."""

    number: int
    provider: str
    started_ms: int
    speculative: bool


class Speculated(NamedTuple):
    """A speculation was adopted, cancelled or has failed. cancel_ms: how long the cancelling took."""

    outcome: str
    provider: str
    cancel_ms: int | None = None


class AttemptHead(NamedTuple):
    """A call has its first content, and its answer is the one that the client gets.

    connect_ms, ttft_ms: from the call's own start; connect_ms is None where it never connected.
    """

    number: int
    provider: str
    started_ms: int
    status: int | None
    connect_ms: int | None
    ttft_ms: int | None
    speculative: bool


class FirstByte(NamedTuple):
    """The first content is on its way to the client."""

    ttft_ms: int


class AttemptEnded(NamedTuple):
    """A call has ended.

    is_answer: its answer, or its refusal, is what the client gets. for_decision: it asked a chat model for
    the decision. outcome: answered, cancelled or failed. error: why it ended badly. failure: the kind of
    error the request met by it, None where nobody waited for it. sent_body: what went out. native: in the
    client's own API, untouched. usage: the provider's own object; used: the same as tokens, or an estimate.
    content: the beginning of the answer.
    """

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


class Enriched(NamedTuple):
    """The search for context has ended, well or not.

    step: as it stands in the session file. outcome: answered, cancelled or failed.
    """

    step: JsonObject
    outcome: str
    started_ms: int
    duration_ms: int
    cost_usd: float | None


class Finished(NamedTuple):
    """The response has been closed; the last event of every request, exactly once.

    status: what the client got; 499 for one that left. error: why it failed. worth_keeping: whether a record
    is wanted.
    """

    status: int
    total_ms: int
    error: str | None
    worth_keeping: bool


Event = (
    Arrived
    | Accepted
    | Decided
    | Planned
    | PassedOver
    | Unsearched
    | AttemptStarted
    | Speculated
    | AttemptHead
    | FirstByte
    | AttemptEnded
    | Enriched
    | Finished
)


class Recorder:
    """Records what happens to one request: a method for each event, overridden where the event matters.

    One object serves one request, so it may keep state without a lock.
    """

    def arrived(self, event: Arrived) -> None: ...

    def accepted(self, event: Accepted) -> None: ...

    def decided(self, event: Decided) -> None: ...

    def planned(self, event: Planned) -> None: ...

    def passed_over(self, event: PassedOver) -> None: ...

    def unsearched(self, event: Unsearched) -> None: ...

    def attempt_started(self, event: AttemptStarted) -> None: ...

    def speculated(self, event: Speculated) -> None: ...

    def attempt_head(self, event: AttemptHead) -> None: ...

    def first_byte(self, event: FirstByte) -> None: ...

    def attempt_ended(self, event: AttemptEnded) -> None: ...

    def enriched(self, event: Enriched) -> None: ...

    def finished(self, event: Finished) -> None: ...


# The method that is called for each event: `attempt_ended` for AttemptEnded.
METHODS: dict[type[Event], str] = {
    event: re.sub(r"(?<!^)(?=[A-Z])", "_", event.__name__).lower() for event in get_args(Event)
}


class Recorders:
    """All recorders of one request. One that raises costs a line in the log, and nothing else."""

    def __init__(self, recorders: Iterable[Recorder]) -> None:
        self._recorders = tuple(recorders)
        self._listening = _listening(tuple(map(type, self._recorders)))

    def notify(self, event: Event) -> None:
        """Tell every recorder that overrides the event's method. Never raises."""
        method, places = self._listening[type(event)]
        for place in places:
            recorder = self._recorders[place]
            try:
                getattr(recorder, method)(event)
            except Exception:
                log.exception(
                    "Recorder failed:", extra=fields(recorder=type(recorder).__name__, event=method)
                )


@cache
def _listening(classes: tuple[type[Recorder], ...]) -> dict[type[Event], tuple[str, list[int]]]:
    """The method of each event, and the places of the classes that override it: most events concern few."""
    return {
        event: (
            name,
            [i for i, cls in enumerate(classes) if getattr(cls, name) is not getattr(Recorder, name)],
        )
        for event, name in METHODS.items()
    }
