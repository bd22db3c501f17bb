"""One provider's breaker: closed while it serves, open while it rests, half-open while exactly one call finds out whether it is well again.

Whoever calls a provider asks for a `Permit` first and reports on it what came of the call. What a failure means for the provider is decided here and nowhere
else: our own hang-up and a client's own 4xx count against nobody, a Retry-After is obeyed, a refused key is the owner's to mend.

It opens no connection and starts no thread; the clock is passed in. What asks the provider again in the background is `probes.py`.
"""

import email.utils
import logging
import math
import re
import threading
import time
from dataclasses import dataclass
from datetime import UTC

from errors import ConnectFailed, HeadTimeout, StreamBroken, UpstreamError, UpstreamStatus
from telemetry.logs import fields

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half-open"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Policy:
    """When a breaker opens and how long it rests, in seconds.

    The literature (Nygard, "Release It!") leaves the numbers to the place; 5 in a row is Envoy's (consecutive_5xx). A failed call has its provider
    probed at once, and a failed probe opens the breaker, so one that is really gone does not cost five waits. The rest begins short, since a server
    that is restarted is back in seconds, and doubles up to the probes' period: who is back is noticed within a minute.
    """

    failures: int = 5  # in a row
    connect_failures: int = 5  # in a row
    first_rest_s: float = 1.0
    longest_rest_s: float = 60.0
    longest_asked_rest_s: float = 3600.0  # a Retry-After beyond this is asked again after it: a slip there must not cost a provider for days


class Permit:
    """Leave to make one call. The first of `succeeded`, `failed` and `dropped` counts; leaving the `with` block without any is `dropped`."""

    def __init__(self, breaker, *, deep, is_probe):
        self.deep = deep
        self.is_probe = is_probe
        self._breaker = breaker
        self._reported = False

    def succeeded(self):
        """The head has come. What breaks later is no longer the breaker's matter."""
        self._report(self._breaker._succeeded)

    def failed(self, error, retry_after_s=None):
        """The call ended with a ProxyError. retry_after_s: what the provider asked for, None or 0 where it did not."""
        self._report(self._breaker._failed, error, retry_after_s)

    def dropped(self):
        """The call tells nothing about the provider: we hung up, or never sent it."""
        self._report(self._breaker._dropped)

    def _report(self, heard, *told):
        with self._breaker._lock:
            if not self._reported:
                self._reported = True
                heard(self, *told)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.dropped()


class Breaker:
    """Shared by all threads."""

    def __init__(self, provider, policy=Policy(), clock=time.monotonic):
        """provider: its name, for the log. clock: monotonic seconds."""
        self.provider = provider
        self.succeeded_at = None  # by the clock, when a call or a deep probe last did
        self._policy = policy
        self._clock = clock
        self._lock = threading.Lock()
        self._state = CLOSED
        self._reason = (
            None  # why it is not closed; our words, never the provider's, which may quote a request
        )
        self._failures = 0  # in a row
        self._connect_failures = 0  # in a row
        self._openings = 0  # since a call last succeeded
        self._until = 0.0  # by the clock, when the rest is over
        self._firm = False  # the rest is the provider's wish or the owner's to end: no probe shortens it
        self._unreachable = False  # opened because nobody answered a knock, so that an answer to one mends it
        self._probe = None  # the one Permit out while half-open

    @property
    def available(self):
        """Whether it is closed: the provider is taken to be well."""
        return self._state == CLOSED

    def allows(self):
        """Whether a call would get a permit now. Takes none."""
        with self._lock:
            return self._lets_through(self._until)

    def begin(self):
        """A Permit for a call, None when the provider is to be left alone. After a rest only the first caller gets one, until it has reported."""
        with self._lock:
            return self._permit(deep=True, is_probe=False) if self._lets_through(self._until) else None

    def begin_probe(self, deep):
        """A Permit for a background probe, None when the provider rests or is being tried already.

        deep: whether the probe has the provider do what a call would. Such a probe need not wait for the end of a back-off; one that only knocks
        may end a back-off early only where nobody had answered, since a server can list its models and still fail at every completion.
        """
        with self._lock:
            early = not self._firm and (deep or self._unreachable)
            return (
                self._permit(deep=deep, is_probe=True)
                if self._lets_through(0.0 if early else self._until)
                else None
            )

    def rest(self, seconds, reason):
        """Open for that long, as the provider asked."""
        with self._lock:
            self._rest(min(seconds, self._policy.longest_asked_rest_s), reason)

    def misconfigured(self, reason):
        """Open for as long as this breaker lives: a changed configuration makes a new one."""
        with self._lock:
            self._rest(math.inf, f"misconfigured: {reason}")

    def cooldown_left_s(self):
        """Seconds until a call may try again, 0.0 when one may now; infinite when misconfigured."""
        with self._lock:
            return 0.0 if self._state == CLOSED else max(0.0, self._until - self._clock())

    def snapshot(self):
        """{available, breaker, consecutive_failures, reason}, as /health shows it; reason is None while closed."""
        with self._lock:
            return {
                "available": self._state == CLOSED,
                "breaker": self._state,
                "consecutive_failures": self._failures,
                "reason": self._reason,
            }

    # Below, the lock is held.

    def _lets_through(self, until):
        return self._state == CLOSED or (self._probe is None and self._clock() >= until)

    def _permit(self, *, deep, is_probe):
        permit = Permit(self, deep=deep, is_probe=is_probe)
        if self._state != CLOSED:
            self._probe = permit
            self._enter(HALF_OPEN, self._reason)
        return permit

    def _succeeded(self, permit):
        if permit.deep:
            self.succeeded_at = self._clock()
        if self._state != CLOSED and self._probe is not permit:
            return  # begun before it opened: old news
        self._connect_failures = 0
        if permit.deep:
            self._openings = 0
        if permit.deep or self._state != CLOSED:
            self._failures = 0
        self._probe = None
        self._enter(CLOSED, None)

    def _failed(self, permit, error, retry_after_s):
        status = error.status if isinstance(error, UpstreamStatus) else None
        if not isinstance(error, UpstreamError) or not error.may_go_on:
            return self._dropped(permit)
        reason = _reason(error)
        if status in (401, 403):
            return self._rest(math.inf, f"misconfigured: {reason}, is its key right?")
        fresh = self._state == CLOSED or self._probe is permit
        if fresh:
            self._failures += 1
            self._connect_failures = self._connect_failures + 1 if isinstance(error, ConnectFailed) else 0
        if retry_after_s:
            asked_s = min(retry_after_s, self._policy.longest_asked_rest_s)
            return self._rest(asked_s, f"{reason}, asked for {asked_s:g} s of rest")
        enough = (
            self._failures >= self._policy.failures or self._connect_failures >= self._policy.connect_failures
        )
        # A knock met with silence is one failure like a call's; what a probe finds out otherwise is certain.
        down = permit.is_probe and (permit.deep or not isinstance(error, HeadTimeout))
        if self._probe is permit and self._clock() < self._until:
            return self._open(
                self._until, reason, firm=False
            )  # tried before its rest was over, which goes on as it was
        if fresh and (enough or down or self._probe is permit):
            self._openings += 1
            back_off_s = min(
                self._policy.first_rest_s * 2 ** min(self._openings - 1, 20), self._policy.longest_rest_s
            )
            self._unreachable = isinstance(error, ConnectFailed) or not permit.deep
            self._open(self._clock() + back_off_s, reason, firm=False)

    def _dropped(self, permit):
        if self._probe is permit:
            self._probe = None  # still half-open: the next one may try

    def _rest(self, seconds, reason):
        until = self._clock() + seconds
        if not self._firm or self._state == CLOSED or until > self._until:
            self._open(until, reason, firm=True)

    def _open(self, until, reason, *, firm):
        self._until, self._firm, self._probe = until, firm, None
        self._enter(OPEN, reason)

    def _enter(self, state, reason):
        if (state, reason) == (self._state, self._reason):
            return
        self._state, self._reason = state, reason
        level = logging.WARNING if state == OPEN else logging.INFO
        log.log(
            level,
            "Breaker:",
            extra=fields(provider=self.provider, state=state, failures=self._failures, reason=reason),
        )


def _reason(error):
    if isinstance(error, UpstreamStatus):
        return f"answered {error.status}"
    return (
        "broke off its answer" if isinstance(error, StreamBroken) else error.message
    )  # the others' messages are ours


def parse_retry_after(value, now):
    """The seconds that a Retry-After header asks for (RFC 9110, section 10.2.3: seconds, or a date), never below 0; None for none and for junk.

    now: the wall clock, in seconds since the epoch.
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
