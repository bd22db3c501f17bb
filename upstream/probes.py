"""Checks every provider in the background and reports to its breaker.

One thread per provider, so that a black hole holds up nobody else and there are never more threads than
providers: it checks (`prober.py`), waits for the period to pass or for somebody to want an answer earlier,
and checks again. `/health` and the chains only read what is known already.
"""

import functools
import logging
import math
import re
import threading
import time
from collections.abc import Callable, Mapping

from settings.model import Wake
from telemetry.logs import fields
from upstream.breaker import Breaker
from upstream.endpoint import Endpoint
from upstream.prober import Prober
from upstream.wake import Waker
from wire import JsonObject

PERIOD_S = 60.0
FIRST_ROUND_S = 5.0  # how long the first line of the log waits for the first answers

HEALTHY, UNKNOWN, UNHEALTHY = "healthy", "unknown", "unhealthy"

log = logging.getLogger(__name__)


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
            name: Prober(
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
        self._breakers = breakers
        self._wakers = {
            name: self._waker(name, provider.settings.wake)
            for name, provider in providers.items()
            if provider.settings.wake and not provider.disabled
        }
        self._stopped = threading.Event()

    def _waker(self, name: str, settings: Wake) -> Waker:
        breaker = self._breakers[name]
        return Waker(
            name, settings, unreached=lambda: breaker.unreached, probe=functools.partial(self.trigger, name)
        )

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
