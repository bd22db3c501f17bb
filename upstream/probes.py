"""Checks every provider in the background and reports to its breaker.

One thread per provider, so that a black hole holds up nobody else and there are never more threads than
providers: it checks (`checks.py`), waits for the period to pass or for somebody to want an answer earlier,
and checks again. `/health` and the chains only read what is known already.

A silent engine that is busy with calls is not a dead one, and calls that succeed are worth more than any
probe, so in both cases no token is generated on top.

Between well and down there is a time when nobody knows: a provider that has not answered its probe for longer
than it usually takes is unknown, until SILENT_S have passed.
"""

import functools
import logging
import math
import re
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from errors import Cancelled, HeadTimeout, ProxyError
from telemetry.logs import fields
from upstream.breaker import Breaker
from upstream.checks import Check
from upstream.endpoint import Endpoint
from upstream.wake import Waker
from wire import JsonObject

PERIOD_S = 60.0
# A probe without an answer for so long is reported as trouble, unless calls keep the provider busy.
SILENT_S = 2.0
PAUSE_S = 1.0  # between two probes, however many calls fail
# Until then a probe under way is no news: some times what the provider's probes took of late, within bounds.
# The lower one leaves room for a busy machine, the upper one for the word "unknown" before SILENT_S.
PATIENCE, LEAST_PATIENCE_S, MOST_PATIENCE_S = 3, 0.3, 1.0
LONGEST_WAIT_S = 0.5  # of a report, for a provider that usually answers sooner
FIRST_ROUND_S = 5.0  # how long the first line of the log waits for the first answers

HEALTHY, UNKNOWN, UNHEALTHY = "healthy", "unknown", "unhealthy"

log = logging.getLogger(__name__)


# Why a provider is not well (False), or perhaps not (None), and the words for it.
_Doubt = tuple[bool | None, str]


@dataclass(frozen=True)
class _Result:
    last_check: str | None = None
    latency_ms: int | None = None


class Probes:
    """What is known of each provider's health. To be built after the fork and started once."""

    def __init__(
        self,
        providers: Mapping[str, Endpoint],
        breakers: Mapping[str, Breaker],
        period_s: float = PERIOD_S,
        clock: Callable[[], float] = time.monotonic,
        *,
        busy: Callable[[str], bool] = lambda name: False,
        unheard_s: Callable[[str], float] = lambda name: math.inf,
    ) -> None:
        """providers, breakers: by name; disabled providers are left alone.

        busy: whether calls of ours are under way at the provider of that name. unheard_s: for how many
        seconds none of them has brought anything.
        """
        self._period_s = period_s
        self._probers = {
            name: _Prober(
                provider,
                breakers[name],
                period_s,
                clock,
                functools.partial(busy, name),
                functools.partial(unheard_s, name),
            )
            for name, provider in providers.items()
            if not provider.disabled
        }
        self._wakers = {
            name: Waker(
                name,
                provider.settings.wake,
                unreached=functools.partial(getattr, breakers[name], "unreached"),
                probe=functools.partial(self.trigger, name),
            )
            for name, provider in providers.items()
            if provider.settings.wake and not provider.disabled
        }
        self._breakers = breakers
        self._stopped = threading.Event()

    def start(self) -> None:
        """Check everybody, now and then every period. Returns at once."""
        for name, prober in self._probers.items():
            threading.Thread(target=prober.run, name=f"probe-{name}", daemon=True).start()
        for name, waker in self._wakers.items():
            self._breakers[name].on_missed = waker.wanted
        if self._probers:
            threading.Thread(target=self._summarize, name="probe-summary", daemon=True).start()

    def stop(self) -> None:
        """Cancel the probes under way and end their threads.

        Returns at once; a name look-up cannot be cancelled and ends by itself.
        """
        self._stopped.set()
        for waker in self._wakers.values():
            waker.stop()
        for prober in self._probers.values():
            prober.stop()

    def trigger(self, name: str) -> None:
        """Have a provider checked at once, since a call to it has failed. Returns at once."""
        if name in self._probers:
            self._probers[name].trigger()

    def snapshot(self) -> dict[str, JsonObject]:
        """{name: {available, last_check, latency_ms, breaker, consecutive_failures, reason}}, without
        checking anybody.

        available: None as long as nothing is known. last_check: wall clock, ISO 8601. latency_ms: how long
        that check took.
        """
        snapshot = {name: prober.snapshot() for name, prober in self._probers.items()}
        for name, waker in self._wakers.items():
            known, waking_s = snapshot[name], waker.waking_s()
            if waking_s is not None and not known["available"]:
                known["reason"] = f"{known['reason']}; woken by Wake-on-LAN {waking_s:.0f} s ago"
        return snapshot

    def refresh(self, timeout_s: float) -> dict[str, JsonObject]:
        """Check everybody now and return the snapshot after timeout_s at the latest.

        Who has not answered by then stands in it as known before. Only a provider that was well and usually
        answers at once has a little longer, and is unknown if it does not: it may just have fallen silent.
        """
        expected_s = {name: prober.expected_s() for name, prober in self._probers.items()}
        late = self._late({name: max(timeout_s, s or 0.0) for name, s in expected_s.items()})
        snapshot = self.snapshot()
        for name in late:
            if expected_s[name] and snapshot[name]["available"] and not self._probers[name].heard_of():
                snapshot[name]["available"] = None
                snapshot[name]["reason"] = f"no answer for {expected_s[name]:.2g} s"
        return snapshot

    def fresh(self, timeout_s: float) -> dict[str, JsonObject]:
        """Check everybody now, at the same time, and return the snapshot once all have answered.

        That is after timeout_s at the latest. Who has not answered by then counts as not available, or is
        unknown where calls keep it busy; its probe goes on. Who is in a cooldown is left in peace.
        """
        late = self._late(dict.fromkeys(self._probers, timeout_s))
        snapshot = self.snapshot()
        for name in late:
            if snapshot[name]["available"] and self._probers[name].heard_of():
                continue
            busy = snapshot[name]["available"] is not False and self._probers[name].busy()
            snapshot[name]["available"] = None if busy else False
            snapshot[name]["reason"] = f"no answer within {timeout_s:.2g} s"
        return snapshot

    def wait_first_round(self, timeout_s: float) -> None:
        """Return when everybody has been tried once, after timeout_s at the latest."""
        deadline = time.monotonic() + timeout_s
        for prober in self._probers.values():
            prober.wait_answered(1, deadline - time.monotonic())

    def _late(self, timeouts_s: Mapping[str, float]) -> list[str]:
        """Have everybody checked; the names of those who have not answered within their time."""
        tickets = {name: prober.request() for name, prober in self._probers.items()}
        begun = time.monotonic()
        return [
            name
            for name, prober in self._probers.items()
            if not prober.wait_answered(tickets[name], begun + timeouts_s[name] - time.monotonic())
        ]

    def _summarize(self) -> None:
        """Log how everybody is, once all have been tried and then every period."""
        self.wait_first_round(FIRST_ROUND_S)
        while not self._stopped.is_set():
            words = {_as_key(name): in_words(known) for name, known in self.snapshot().items()}
            log.info("Probes:", extra=fields(**words, period_s=f"{self._period_s:g}"))
            self._stopped.wait(self._period_s)


def status_of(known: JsonObject) -> str:
    """The one word for a provider's entry in a snapshot."""
    return {True: HEALTHY, None: UNKNOWN, False: UNHEALTHY}[known["available"]]


def in_words(known: JsonObject) -> str:
    """That word, and the reason where it is not well: `unhealthy (no answer for 4 s)`."""
    status = status_of(known)
    return status if status == HEALTHY or not known["reason"] else f"{status} ({known['reason']})"


def _as_key(name: str) -> str:
    """A provider's name as the key of a pair in the log."""
    return re.sub(r"[^\w.:/-]", "_", name)


class _Prober:
    """One provider's: at most one probe at a time."""

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

    def _left_s(self) -> float:
        """Seconds until the next probe is due."""
        if self._ended_at is None:
            return 0.0
        pause_s = PAUSE_S if self._triggered else self._period_s
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
