"""Checks every provider in the background and reports to its breaker.

One thread per provider, so that a black hole holds up nobody else and there are never more threads than
providers: it checks (`checks.py`), waits for the period to pass or for somebody to want an answer earlier,
and checks again. `/health` and the chains only read what is known already.

A silent engine that is busy with calls is not a dead one, and calls that succeed are worth more than any
probe, so in both cases no token is generated on top.
"""

import functools
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from errors import Cancelled, HeadTimeout, ProxyError
from upstream.breaker import Breaker
from upstream.checks import Check
from upstream.endpoint import Endpoint
from wire import JsonObject

PERIOD_S = 60.0
# A probe without an answer for so long is reported as trouble, unless calls keep the provider busy.
SILENT_S = 2.0
PAUSE_S = 1.0  # between two probes, however many calls fail

log = logging.getLogger(__name__)


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
    ) -> None:
        """providers, breakers: by name; disabled providers are left alone.

        busy: whether calls of ours are under way at the provider of that name.
        """
        self._probers = {
            name: _Prober(provider, breakers[name], period_s, clock, functools.partial(busy, name))
            for name, provider in providers.items()
            if not provider.disabled
        }

    def start(self) -> None:
        """Check everybody, now and then every period. Returns at once."""
        for name, prober in self._probers.items():
            threading.Thread(target=prober.run, name=f"probe-{name}", daemon=True).start()

    def stop(self) -> None:
        """Cancel the probes under way and end their threads.

        Returns at once; a name look-up cannot be cancelled and ends by itself.
        """
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
        return {name: prober.snapshot() for name, prober in self._probers.items()}

    def refresh(self, timeout_s: float) -> dict[str, JsonObject]:
        """Check everybody now and return the snapshot after timeout_s at the latest.

        Who has not answered by then stands in it as known before.
        """
        self._late(timeout_s)
        return self.snapshot()

    def fresh(self, timeout_s: float) -> dict[str, JsonObject]:
        """Check everybody now, at the same time, and return the snapshot once all have answered.

        That is after timeout_s at the latest. Who has not answered by then counts as not available unless it
        is busy; its probe goes on. Who is in a cooldown is left in peace.
        """
        late = self._late(timeout_s)
        snapshot = self.snapshot()
        for name in late:
            snapshot[name]["available"] = snapshot[name]["available"] and self._probers[name].busy()
            snapshot[name]["reason"] = f"no answer within {timeout_s:.2g} s"
        return snapshot

    def _late(self, timeout_s: float) -> list[str]:
        """Have everybody checked; the names of those who have not answered within timeout_s."""
        tickets = {name: prober.request() for name, prober in self._probers.items()}
        deadline = time.monotonic() + timeout_s
        return [
            name
            for name, prober in self._probers.items()
            if not prober.wait_answered(tickets[name], deadline - time.monotonic())
        ]


class _Prober:
    """One provider's: at most one probe at a time."""

    def __init__(
        self,
        provider: Endpoint,
        breaker: Breaker,
        period_s: float,
        clock: Callable[[], float],
        busy: Callable[[], bool],
    ) -> None:
        self.busy = busy
        self._check = Check(provider)
        self._breaker = breaker
        self._period_s = period_s
        self._clock = clock
        self._changed = threading.Condition()
        # A probe answers all requests made before it began.
        self._requested = self._answered = 0
        self._triggered = False
        self._ended_at: float | None = None  # by the clock, when the last probe did
        self._stopped = False
        self._result = _Result()
        self._begun_at: float | None = None  # by the clock, while a probe is under way
        self._trouble: str | None = None  # why the last probe failed

    def snapshot(self) -> JsonObject:
        known = self._breaker.snapshot()
        available = known.pop("available")
        if available and not self._result.last_check and self._breaker.succeeded_at is None:
            available = None  # nobody has tried it yet
        elif available and (trouble := self._trouble or self._silence()):
            # The breaker waits for more before it opens; who wants to know how things are need not.
            available, known["reason"] = False, trouble
        return {"available": available, **vars(self._result), **known}

    def _silence(self) -> str | None:
        """What to report of a provider that does not answer the probe under way, None while it has time."""
        begun_at = self._begun_at
        if begun_at is None or self._clock() - begun_at < SILENT_S or self.busy():
            return None
        return f"no answer for {self._clock() - begun_at:.0f} s"

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
        trouble = None
        with permit:
            try:
                self._check.run(wanted)
                permit.succeeded()
            except Cancelled:
                return
            except ProxyError as error:
                if isinstance(error, HeadTimeout) and self.busy():
                    return
                permit.failed(error)
                trouble = error.message if isinstance(error, HeadTimeout) else None
            finally:
                self._begun_at, self._trouble = None, trouble
        self._result = _Result(_now(), round((self._clock() - started) * 1000))


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
