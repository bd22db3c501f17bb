"""The calls made for one request: each is cancelled when the client goes, and its recorders learn of it from
start to end.
"""

from collections.abc import Callable
from typing import NamedTuple

from errors import ProxyError
from telemetry.events import ANSWERED, CANCELLED, FAILED, AttemptEnded, AttemptHead, AttemptStarted, Event
from upstream.attempt import RECORDED_CHARS, Attempt


class _Call(NamedTuple):
    number: int
    speculative: bool
    for_decision: bool


class Calls:
    """The request's calls, in the order in which they began. From the request's own thread."""

    def __init__(
        self,
        ms: Callable[[float | None], int],
        notify: Callable[[Event], None],
        on_cancel: Callable[[Callable[[], None]], None],
        provider_failed: Callable[[str], None],
    ) -> None:
        """ms: a monotonic time as milliseconds from the request's arrival."""
        self._ms = ms
        self._notify = notify
        self._on_cancel = on_cancel
        self._provider_failed = provider_failed
        self._count = 0
        self._open: dict[Attempt, _Call] = {}
        self._answer: Attempt | None = None

    def started(self, attempt: Attempt, *, speculative: bool = False) -> Attempt:
        """Take in a call that begins, and have it cancelled when the client goes. Returns it."""
        call = self._take(attempt, speculative=speculative)
        self._on_cancel(attempt.cancel)
        started_ms = self._ms(attempt.started_at)
        self._notify(AttemptStarted(call.number, attempt.provider.name, started_ms, speculative))
        return attempt

    def asks_for_decision(self, attempt: Attempt) -> None:
        """Take in the call by which a chat model is asked for the decision. Its classifier cancels it."""
        self._take(attempt, for_decision=True)

    def _take(self, attempt: Attempt, *, speculative: bool = False, for_decision: bool = False) -> _Call:
        self._count += 1
        call = self._open[attempt] = _Call(self._count, speculative, for_decision)
        return call

    def answers(self, attempt: Attempt) -> None:
        """A call has its head, and its answer is for the client."""
        call, started = self._open[attempt], attempt.started_at
        self._answer = attempt
        self._notify(
            AttemptHead(
                number=call.number,
                provider=attempt.provider.name,
                started_ms=self._ms(started),
                status=attempt.status,
                connect_ms=_between_ms(started, attempt.connected_at),
                ttft_ms=_between_ms(started, attempt.head_at),
                speculative=call.speculative,
            )
        )

    def failed(self, attempt: Attempt, error: ProxyError, *, is_answer: bool = False) -> None:
        """A call has failed. is_answer: the error itself goes to the client."""
        self._ended(attempt, type(error).__name__, is_answer=is_answer)
        if not error.lacks:
            self._provider_failed(attempt.provider.name)

    def ended(self, attempt: Attempt) -> None:
        """A call has ended well, or has been cancelled."""
        self._ended(attempt, None)

    def close(self) -> None:
        """Cancel what is still under way: the request ends."""
        for attempt in list(self._open):
            attempt.close()
            self.ended(attempt)

    def _ended(self, attempt: Attempt, failure: str | None, *, is_answer: bool = False) -> None:
        call = self._open.pop(attempt, None)
        if call is None:
            return
        is_answer = is_answer or attempt is self._answer
        head_at, used = attempt.head_at, attempt.used
        outcome = CANCELLED if attempt.cancelled else FAILED if attempt.failure else ANSWERED
        started_ms = self._ms(attempt.started_at)
        self._notify(
            AttemptEnded(
                number=call.number,
                provider=attempt.provider.name,
                model=attempt.model,
                url=attempt.url,
                started_ms=started_ms,
                ended_ms=self._ms(attempt.ended_at),
                ttft_ms=None if head_at is None else self._ms(head_at) - started_ms,
                queued_ms=attempt.queued_ms,
                status=attempt.status,
                finish_reason=attempt.finish_reason,
                outcome=outcome,
                error=_error_of(attempt),
                failure=failure,
                speculative=call.speculative,
                is_answer=is_answer,
                for_decision=call.for_decision,
                sent_body=attempt.sent_body or {},
                native=attempt.native is not None,
                usage=attempt.usage,
                used=used,
                cost_usd=attempt.provider.cost_usd(used),
                content=attempt.content[:RECORDED_CHARS] if is_answer else None,
            )
        )


def _error_of(attempt: Attempt) -> str | None:
    if attempt.cancelled:
        return "hung up"
    return str(attempt.failure) if attempt.failure else None


def _between_ms(start: float, end: float | None) -> int | None:
    return None if end is None else round((end - start) * 1000)
