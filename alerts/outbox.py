"""Alerts on their way: sent in their order, and again where that may help.

The line to the outside is often what is down when there is something to tell, so an alert is tried for a day.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

from alerts.alert import Alert
from alerts.delivery import Outcome, deliver
from settings.model import Alerts as Settings
from telemetry.logs import fields

PAUSES_S = (2.0, 10.0, 60.0, 300.0, 900.0)  # before the next try; from then on the last one
LATE_S = 30.0  # what arrives later than this says when it happened
MAX_AGE_S = 24 * 3600.0  # of an alert that is tried again
MAX_WAITING = 50  # beyond it the oldest is dropped

log = logging.getLogger(__name__)


class _Letter(NamedTuple):
    """at: when it happened, wall clock, aware. since: the same on the outbox's clock."""

    alert: Alert
    at: datetime
    since: float


class Outbox:
    """put: from any thread. send: from one."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """clock: monotonic, in seconds."""
        self._clock = clock
        self._waiting: deque[_Letter] = deque(maxlen=MAX_WAITING)
        self._failures = 0  # in a row
        self._next_try = clock()

    def put(self, alerts: Iterable[Alert]) -> None:
        at, since = datetime.now().astimezone(), self._clock()
        self._waiting.extend(_Letter(alert, at, since) for alert in alerts)

    def try_anew(self) -> None:
        """There is another address, or the same with other settings."""
        self._failures, self._next_try = 0, self._clock()

    def pause_s(self) -> float:
        """How long until something is to be sent; infinite as long as nothing waits."""
        return max(0.0, self._next_try - self._clock()) if self._waiting else float("inf")

    def send(self, settings: Settings, is_closing: Callable[[], bool]) -> None:
        """Send what is due. One that does not arrive holds up the others, which would not either."""
        while settings.url and self._waiting and self._clock() >= self._next_try and not is_closing():
            self._try(self._waiting.popleft(), settings)

    def _try(self, letter: _Letter, settings: Settings) -> None:
        age_s = self._clock() - letter.since
        outcome, problem = deliver(letter.alert, letter.at, settings, is_late=age_s > LATE_S)
        event = letter.alert.event
        if outcome is Outcome.LATER and age_s < MAX_AGE_S:
            pause_s = PAUSES_S[min(self._failures, len(PAUSES_S) - 1)]
            self._failures, self._next_try = self._failures + 1, self._clock() + pause_s
            self._waiting.appendleft(letter)
            log.warning(
                "Alert not sent:", extra=fields(event=event, error=problem, again_in_s=round(pause_s))
            )
            return
        self._failures = 0
        if outcome is Outcome.SENT:
            log.info("Alert sent:", extra=fields(event=event))
        else:
            log.error("Alert not sent:", extra=fields(event=event, error=problem))
