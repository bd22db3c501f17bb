"""Asks every provider in the background whether it is well, and tells its breaker.

One thread per provider, so that a black hole holds up nobody else and there are never more threads than providers: it asks (`checks.py`), waits for the period
to pass or for somebody to want to know sooner, and asks again. `/health` and the chains only look at what is known already.

A silent engine that is busy with calls is not a dead one, and calls that succeed are worth more than any probe, so neither is asked for a token on top.
"""

import logging
import threading
import time
from dataclasses import dataclass
from datetime import datetime

from errors import Cancelled, HeadTimeout, ProxyError
from upstream.checks import Check

PERIOD_S = 60.0
SILENT_S = (
    2.0  # a probe without an answer for so long is told as trouble, unless calls keep the provider busy
)
PAUSE_S = 1.0  # between two probes, however many calls fail

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Result:
    last_check: str | None = None
    latency_ms: int | None = None


class Probes:
    """What is known of each provider's health. To be built after the fork and started once."""

    def __init__(
        self, providers, breakers, period_s=PERIOD_S, clock=time.monotonic, *, busy=lambda name: False
    ):
        """providers, breakers: by name; disabled providers are left alone. busy: whether calls of ours are under way at the provider of that name."""
        self._probers = {
            name: _Prober(provider, breakers[name], period_s, clock, lambda name=name: busy(name))
            for name, provider in providers.items()
            if not provider.disabled
        }

    def start(self):
        """Ask everybody, now and then every period. Returns at once."""
        for name, prober in self._probers.items():
            threading.Thread(target=prober.run, name=f"probe-{name}", daemon=True).start()

    def stop(self):
        """Hang up the probes under way and end their threads. Returns at once; a name look-up cannot be hung up and ends by itself."""
        for prober in self._probers.values():
            prober.stop()

    def soon(self, name):
        """Have a provider asked at once, since a call to it has failed. Returns at once."""
        if name in self._probers:
            self._probers[name].soon()

    def snapshot(self):
        """{name: {available, last_check, latency_ms, breaker, consecutive_failures, reason}}, without asking anybody.

        available: None as long as nothing is known. last_check: wall clock, ISO 8601. latency_ms: how long that check took.
        """
        return {name: prober.told() for name, prober in self._probers.items()}

    def refresh(self, timeout_s):
        """Ask everybody now and return the snapshot after timeout_s at the latest; who has not answered by then stands in it as known before."""
        asked = {name: prober.ask() for name, prober in self._probers.items()}
        self._late(asked, timeout_s)
        return self.snapshot()

    def fresh(self, timeout_s):
        """Ask everybody now, at the same time, and return their snapshot once all have answered, after timeout_s at the latest.

        Who has not answered by then is told as not available unless it is busy; its probe goes on. Who rests is left in peace.
        """
        asked = {name: prober.ask() for name, prober in self._probers.items()}
        late = self._late(asked, timeout_s)
        told = self.snapshot()
        for name in late:
            told[name]["available"] = told[name]["available"] and self._probers[name].busy()
            told[name]["reason"] = f"no answer within {timeout_s:.2g} s"
        return told

    def _late(self, asked, timeout_s):
        """Wait for everybody who was asked; the names of those who have not answered within timeout_s."""
        deadline = time.monotonic() + timeout_s
        return [
            name
            for name, prober in self._probers.items()
            if not prober.wait_answered(asked[name], deadline - time.monotonic())
        ]


class _Prober:
    """One provider's: at most one probe at a time."""

    def __init__(self, provider, breaker, period_s, clock, busy):
        self.busy = busy
        self._check = Check(provider)
        self._breaker = breaker
        self._period_s = period_s
        self._clock = clock
        self._changed = threading.Condition()
        self._asked = self._answered = 0  # a probe answers all who asked before it began
        self._soon = False
        self._ended_at = None  # by the clock, when the last probe did
        self._stopped = False
        self._result = _Result()
        self._begun_at = None  # by the clock, while it is being asked
        self._trouble = None  # why the last probe failed

    def told(self):
        told = self._breaker.snapshot()
        available = told.pop("available")
        if available and not self._result.last_check and self._breaker.succeeded_at is None:
            available = None  # nobody has tried it yet
        elif available and (trouble := self._trouble or self._silence()):
            available, told["reason"] = (
                False,
                trouble,
            )  # the breaker waits for more before it opens; who asks how things are need not
        return {"available": available, **vars(self._result), **told}

    def _silence(self):
        """What there is to say of a provider that does not answer the probe under way, None while it has time."""
        begun_at = self._begun_at
        if begun_at is None or self._clock() - begun_at < SILENT_S or self.busy():
            return None
        return f"no answer for {self._clock() - begun_at:.0f} s"

    def soon(self):
        with self._changed:
            self._soon = True
            self._changed.notify_all()

    def ask(self):
        with self._changed:
            self._asked += 1
            self._changed.notify_all()
            return self._asked

    def wait_answered(self, asked, timeout_s):
        """Whether a probe that began after `ask()` returned `asked` has ended within the time."""
        with self._changed:
            self._changed.wait_for(lambda: self._answered >= asked or self._stopped, max(0.0, timeout_s))
            return self._answered >= asked

    def stop(self):
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._check.hang_up()

    def run(self):
        while True:
            with self._changed:
                while not self._stopped and self._asked == self._answered and (left_s := self._left_s()) > 0:
                    self._changed.wait(left_s)
                if self._stopped:
                    return
                asked, wanted = (
                    self._asked,
                    self._soon or self._asked > self._answered or not self._result.last_check,
                )
                self._soon = False
            try:
                self.probe(wanted or not self._breaker.available)
            except Exception:  # the edge of a thread that must live on
                log.exception("A probe failed")
            with self._changed:
                self._answered, self._ended_at = asked, self._clock()
                self._changed.notify_all()

    def _left_s(self):
        """Seconds until the next probe is due."""
        if self._ended_at is None:
            return 0.0
        pause_s = PAUSE_S if self._soon else self._period_s
        if not self._breaker.available:
            pause_s = min(pause_s, max(PAUSE_S, self._breaker.cooldown_left_s()))
        return self._ended_at + pause_s - self._clock()

    def probe(self, wanted):
        """Ask now, on this thread. wanted: somebody has a reason to know; else it is just time again."""
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
                self._check.ask(wanted)
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


def _now():
    return datetime.now().astimezone().isoformat(timespec="seconds")
