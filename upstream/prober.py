"""Probes one provider, when it is time or when somebody wants to know, and says how it is by now.

A silent engine that is busy with calls is not a dead one, and calls that succeed are worth more than any
probe, so in both cases no token is generated on top.

Between well and down there is a time when nobody knows: a provider that has not answered its probe for longer
than it usually takes is unknown, until SILENT_S have passed.
"""

import logging
import math
import statistics
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from errors import Cancelled, HeadTimeout, ProxyError
from upstream.breaker import Breaker
from upstream.checks import Check
from upstream.endpoint import Endpoint
from wire import JsonObject

# A probe without an answer for so long is reported as trouble, unless calls keep the provider busy.
SILENT_S = 2.0
PAUSE_S = 1.0  # between two probes, however many calls fail
# Until then a probe under way is no news: some times what the provider's probes took of late, within bounds.
# The lower one leaves room for a busy machine, the upper one for the word "unknown" before SILENT_S.
PATIENCE, LEAST_PATIENCE_S, MOST_PATIENCE_S = 3, 0.3, 1.0
LONGEST_WAIT_S = 0.5  # of a report, for a provider that usually answers sooner

log = logging.getLogger(__name__)

# Why a provider is not well (False), or perhaps not (None), and the words for it.
_Doubt = tuple[bool | None, str]


@dataclass(frozen=True)
class _Result:
    last_check: str | None = None
    latency_ms: int | None = None


class Prober:
    """One provider's, with a thread of its own to run on: at most one probe at a time."""

    def __init__(
        self,
        provider: Endpoint,
        breaker: Breaker,
        period_s: float,
        clock: Callable[[], float],
        busy: Callable[[], bool],
        unheard_s: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self.busy = busy
        self._unheard_s = unheard_s
        self._check = Check(provider)
        self._breaker = breaker
        self._period_s = period_s
        self._clock = clock
        self._changed = threading.Condition()
        # A probe answers all requests made before it began. The first one is made here.
        self._requested, self._answered = 1, 0
        self._triggered = False
        self._ended_at: float | None = None  # by the clock, when the last probe did
        self._stopped = False
        self._result = _Result()
        self._begun_at: float | None = None  # by the clock, while a probe is under way
        self._trouble: _Doubt | None = None  # what the last probe left behind
        self._took_s: deque[float] = deque(maxlen=5)  # the last probes that were answered

    def snapshot(self) -> JsonObject:
        known = self._breaker.snapshot()
        available = known.pop("available")
        if available and not self._result.last_check and self._breaker.succeeded_at is None:
            available = None  # nobody has tried it yet
        elif available and (doubt := self._trouble or self._silence()) and not self.heard_of():
            # The breaker waits for more before it opens; who wants to know how things are need not.
            available, known["reason"] = doubt
        return {"available": available, **vars(self._result), **known}

    def _silence(self) -> _Doubt | None:
        """What to report of a provider that does not answer the probe under way, None while it has time."""
        begun_at = self._begun_at
        silent_s = 0.0 if begun_at is None else self._clock() - begun_at
        if silent_s < self._patience_s:
            return None
        words = f"no answer for {silent_s:.{0 if silent_s >= SILENT_S else 1}f} s"
        if self.busy():
            return None, f"{words}, with calls under way"
        return (None if silent_s < SILENT_S else False), words

    def heard_of(self) -> bool:
        """Whether calls have brought something of late, so that a probe without an answer says nothing."""
        return self._unheard_s() < SILENT_S

    def expected_s(self) -> float | None:
        """How long its answer to a probe is worth waiting for; None for one that is slow, or not well."""
        is_well = self.snapshot()["available"]
        return self._patience_s if is_well and self._patience_s <= LONGEST_WAIT_S else None

    @property
    def _patience_s(self) -> float:
        """How long a probe may go without an answer before that is news."""
        # The median: one that hung for a moment must not count for long.
        usual_s = statistics.median(tuple(self._took_s) or (0.0,))
        return min(MOST_PATIENCE_S, max(LEAST_PATIENCE_S, PATIENCE * usual_s))

    def trigger(self) -> None:
        with self._changed:
            self._triggered = True
            self._changed.notify_all()

    def request(self) -> int:
        """Have it checked now; returns a ticket for `wait_answered`."""
        with self._changed:
            self._requested += 1
            self._changed.notify_all()
            return self._requested

    def wait_answered(self, ticket: int, timeout_s: float) -> bool:
        """Whether a probe that began after the ticket was given has ended within the time."""
        with self._changed:
            self._changed.wait_for(lambda: self._answered >= ticket or self._stopped, max(0.0, timeout_s))
            return self._answered >= ticket

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._check.cancel()

    def run(self) -> None:
        while True:
            with self._changed:
                while not self._stopped and self._is_idle() and (left_s := self._left_s()) > 0:
                    self._changed.wait(left_s)
                if self._stopped:
                    return
                ticket = self._requested
                wanted = self._triggered or not self._is_idle() or not self._result.last_check
                self._triggered = False
            try:
                self.probe(wanted or not self._breaker.available)
            except Exception:  # the edge of a thread that must live on
                log.exception("A probe failed")
            with self._changed:
                self._answered, self._ended_at = ticket, self._clock()
                self._changed.notify_all()

    def _is_idle(self) -> bool:
        """Whether every request has been answered."""
        return self._requested == self._answered

    def _is_doubted(self) -> bool:
        """Whether it was silent, of which one more probe makes sure. Until then calls go there, and wait."""
        return self._trouble is not None and self._breaker.available

    def _left_s(self) -> float:
        """Seconds until the next probe is due."""
        if self._ended_at is None:
            return 0.0
        pause_s = PAUSE_S if self._triggered or self._is_doubted() else self._period_s
        if not self._breaker.available:
            pause_s = min(pause_s, max(PAUSE_S, self._breaker.cooldown_left_s()))
        return self._ended_at + pause_s - self._clock()

    def probe(self, wanted: bool) -> None:
        """Check now, on this thread. wanted: somebody has a reason to know; else it is just time again."""
        if not wanted and self._check.is_deep:
            succeeded_at = self._breaker.succeeded_at
            if succeeded_at is not None and self._clock() - succeeded_at < self._period_s:
                self._result = _Result(_now(), self._result.latency_ms)
                return
            if self.busy():
                return
        permit = self._breaker.begin_probe(self._check.is_deep)
        if permit is None:
            return
        started = self._begun_at = self._clock()
        trouble: _Doubt | None = None
        with permit:
            try:
                self._check.run(wanted)
                permit.succeeded()
                self._took_s.append(self._clock() - started)
            except Cancelled:
                return
            except ProxyError as error:
                silent = isinstance(error, HeadTimeout)
                if silent and self.busy():
                    trouble = None, f"{error.message}, with calls under way"
                    return
                permit.failed(error)
                trouble = (False, error.message) if silent else None
            finally:
                self._begun_at, self._trouble = None, trouble
        self._result = _Result(_now(), round((self._clock() - started) * 1000))


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
