"""One provider's breaker.

It is closed while the provider serves, open while it is left alone, and half-open while exactly one call
finds out whether it is well again. Whoever calls a provider takes a `Permit` first and reports on it what
came of the call. What a failure means for the provider is decided here and nowhere else: our own cancelling,
a client's own 4xx and what the provider cannot do count against nobody, a Retry-After is obeyed, a refused
key is the owner's to mend.

It opens no connection and starts no thread; the clock is passed in. The background probes are in `probes.py`.
"""

import email.utils
import logging
import math
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from typing import Self

from errors import ConnectFailed, HeadTimeout, ProxyError, UpstreamError, UpstreamStatus
from telemetry.logs import fields
from wire import JsonObject

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half-open"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Policy:
    """When a breaker opens and how long its cooldown is, in seconds.

    The literature (Nygard, "Release It!") leaves the numbers to the place; 5 in a row is Envoy's
    (consecutive_5xx). A failed call has its provider probed at once, and a failed probe opens the breaker, so
    a provider that is really gone does not cost five waits. The first cooldown is short, since a server that
    is restarted is back in seconds. It doubles up to the probes' period, so that a provider that is back is
    noticed within a minute.
    """

    failures: int = 5  # in a row
    first_cooldown_s: float = 1.0
    longest_cooldown_s: float = 60.0
    # A Retry-After beyond this is cut to it: a slip there must not cost a provider for days.
    longest_requested_cooldown_s: float = 3600.0


class Permit:
    """Leave to make one call.

    The first of `succeeded`, `failed` and `dropped` counts; leaving the `with` block without any is
    `dropped`.
    """

    def __init__(self, breaker: "Breaker", *, deep: bool, is_probe: bool) -> None:
        self.deep = deep
        self.is_probe = is_probe
        self._breaker = breaker
        self._reported = False

    def succeeded(self) -> None:
        """The head has come. What breaks later is no longer the breaker's matter."""
        self._report(lambda: self._breaker._succeeded(self))

    def failed(self, error: ProxyError, retry_after_s: float | None = None) -> None:
        """The call ended with this error.

        retry_after_s: the provider's request, None or 0 where it made none.
        """
        self._report(lambda: self._breaker._failed(self, error, retry_after_s))
        if not self.is_probe:
            self._breaker.missed()

    def dropped(self) -> None:
        """The call tells nothing about the provider: we cancelled it, or never sent it."""
        self._report(lambda: self._breaker._dropped(self))

    def _report(self, transition: Callable[[], None]) -> None:
        with self._breaker._lock:
            if not self._reported:
                self._reported = True
                transition()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.dropped()


class Breaker:
    """Shared by all threads."""

    def __init__(
        self, provider: str, policy: Policy = Policy(), clock: Callable[[], float] = time.monotonic
    ) -> None:
        """provider: its name, for the log. clock: monotonic seconds."""
        self.provider = provider
        self.succeeded_at: float | None = None  # by the clock, when a call or a deep probe last did
        self.unreached = False  # nobody was there when it was last tried
        self.silent = False  # it did not answer when it last failed
        self.on_missed: Callable[[], None] = lambda: None  # a request wanted it, and nobody was there
        self._policy = policy
        self._clock = clock
        self._lock = threading.Lock()
        self._state = CLOSED
        # Why it is not closed; our words, never the provider's, which may quote a request.
        self._reason: str | None = None
        self._failures = 0  # in a row
        self._openings = 0  # since a call last succeeded
        self._until = 0.0  # by the clock, when the cooldown is over
        # The cooldown was requested by the provider, or is the owner's to end: no probe shortens it.
        self._firm = False
        self._unreachable = False  # opened because nobody answered a ping, so that an answer to one mends it
        self._probe: Permit | None = None  # the one out while half-open

    @property
    def available(self) -> bool:
        """Whether it is closed: the provider is taken to be well."""
        return self._state == CLOSED

    @property
    def misconfigured(self) -> bool:
        """Whether the provider refuses its key: it is left alone until the owner has mended that."""
        with self._lock:
            return self._state == OPEN and self._until == math.inf

    def allows(self) -> bool:
        """Whether a call would get a permit now. Takes none."""
        with self._lock:
            return self._lets_through(self._until)

    def begin(self) -> Permit | None:
        """A Permit for a call, None when the provider is to be left alone.

        After a cooldown only the first caller gets one, until it has reported.
        """
        with self._lock:
            return self._permit(deep=True, is_probe=False) if self._lets_through(self._until) else None

    def begin_probe(self, deep: bool) -> Permit | None:
        """A Permit for a background probe, None when the provider is to be left alone or is being tried
        already.

        deep: whether the probe has the provider do what a call would. Such a probe need not wait for the end
        of a back-off. One that only pings may end a back-off early only where nobody had answered, since a
        server can list its models and still fail at every completion.
        """
        with self._lock:
            early = not self._firm and (deep or self._unreachable)
            if not self._lets_through(0.0 if early else self._until):
                return None
            return self._permit(deep=deep, is_probe=True)

    def missed(self, error: ProxyError | None = None) -> None:
        """A request wanted the provider, and has failed or was not let through.

        error: what became of a call that was made without a permit.
        """
        self.unreached = self.unreached or isinstance(error, ConnectFailed)
        if self.unreached:
            self.on_missed()

    def cooldown_left_s(self) -> float:
        """Seconds until a call may try again, 0.0 when one may now; infinite when misconfigured."""
        with self._lock:
            return 0.0 if self._state == CLOSED else max(0.0, self._until - self._clock())

    def snapshot(self) -> JsonObject:
        """{available, breaker, consecutive_failures, reason} for /health; reason is None while closed."""
        with self._lock:
            return {
                "available": self._state == CLOSED,
                "breaker": self._state,
                "consecutive_failures": self._failures,
                "reason": self._reason,
            }

    # Below, the lock is held.

    def _lets_through(self, until: float) -> bool:
        return self._state == CLOSED or (self._probe is None and self._clock() >= until)

    def _permit(self, *, deep: bool, is_probe: bool) -> Permit:
        permit = Permit(self, deep=deep, is_probe=is_probe)
        if self._state != CLOSED:
            self._probe = permit
            self._enter(HALF_OPEN, self._reason)
        return permit

    def _succeeded(self, permit: Permit) -> None:
        if permit.deep:
            self.succeeded_at = self._clock()
        if self._state != CLOSED and self._probe is not permit:
            return  # begun before it opened: old news
        self.unreached = False
        if permit.deep:
            self._openings = 0
        if permit.deep or self._state != CLOSED:
            self._failures = 0
        self._probe = None
        self._enter(CLOSED, None)

    def _failed(self, permit: Permit, error: ProxyError, retry_after_s: float | None) -> None:
        # Silence and a broken connection are left open: they may come of a connection from before.
        if isinstance(error, (ConnectFailed, UpstreamStatus)):
            self.unreached = isinstance(error, ConnectFailed)
        if not isinstance(error, UpstreamError) or not error.may_go_on or error.lacks:
            return self._dropped(permit)
        self.silent = isinstance(error, HeadTimeout)
        reason = error.in_our_words
        # A call's 403 may be about its words, which some clouds moderate so; a probe's is about the key.
        if isinstance(error, UpstreamStatus) and (
            error.status == 401 or (error.status == 403 and permit.is_probe)
        ):
            return self._cool_down(math.inf, f"misconfigured: {reason}, is its key right?")
        fresh = self._state == CLOSED or self._probe is permit
        if fresh:
            self._failures += 1
        if retry_after_s:
            requested_s = min(retry_after_s, self._policy.longest_requested_cooldown_s)
            return self._cool_down(requested_s, f"{reason}, asked for {requested_s:g} s of rest")
        if self._probe is permit and self._clock() < self._until:
            # Tried before its cooldown was over, which goes on as it was.
            return self._open(self._until, reason, firm=False)
        enough = self._failures >= self._policy.failures
        # One ping met with silence may be a server that is busy with others. What a probe finds out otherwise
        # is certain, and so is a second failure.
        silent = isinstance(error, HeadTimeout) and not permit.deep
        down = permit.is_probe and (not silent or self._failures > 1)
        if fresh and (enough or down or self._probe is permit):
            self._unreachable = isinstance(error, ConnectFailed) or not permit.deep
            self._back_off(reason)

    def _back_off(self, reason: str) -> None:
        """Open, for twice as long as the last time."""
        self._openings += 1
        doubled_s = self._policy.first_cooldown_s * 2 ** min(self._openings - 1, 20)
        self._open(self._clock() + min(doubled_s, self._policy.longest_cooldown_s), reason, firm=False)

    def _dropped(self, permit: Permit) -> None:
        if self._probe is permit:
            self._probe = None  # still half-open: the next one may try

    def _cool_down(self, seconds: float, reason: str) -> None:
        """Open for a time that no probe may shorten, unless such a time runs already and is longer."""
        until = self._clock() + seconds
        if not self._firm or self._state == CLOSED or until > self._until:
            self._open(until, reason, firm=True)

    def _open(self, until: float, reason: str, *, firm: bool) -> None:
        self._until, self._firm, self._probe = until, firm, None
        self._enter(OPEN, reason)

    def _enter(self, state: str, reason: str | None) -> None:
        if (state, reason) == (self._state, self._reason):
            return
        self._state, self._reason = state, reason
        level = logging.WARNING if state == OPEN else logging.INFO
        extra = fields(provider=self.provider, state=state, failures=self._failures, reason=reason)
        log.log(level, "Breaker:", extra=extra)


def parse_retry_after(value: str | None, now: float) -> float | None:
    """The seconds that a Retry-After header asks for, never below 0; None for none and for junk.

    RFC 9110, section 10.2.3: seconds, or a date. now: the wall clock, in seconds since the epoch.
    """
    value = (value or "").strip()
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", value):  # some send fractions
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
        at = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0.0, at - now)
