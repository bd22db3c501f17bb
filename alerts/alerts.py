"""The owner's alerts: a thread that looks whether something is to be told, and tells it.

A request costs a comparison and, at its end, a flag that wakes the thread. What has been told is known as
long as the process lives, whichever configuration is in effect, also one with another address for alerts.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from accounting.budgets import Budget
from alerts.alert import Alert, rejected_alert
from alerts.conditions import Breaker, BudgetLevels, Fallbacks, RefusedKeys
from alerts.outbox import Outbox
from errors import Reason
from settings.model import Alerts as Settings
from telemetry.events import AttemptHead, Finished, PassedOver, Planned, Recorder

TICK_S = 5.0  # between two looks when nothing happens
PAUSE_S = 0.2  # and when much does
# Why a provider is passed over where the fault is its own.
FAULTS = {
    Reason.RESTING,
    Reason.FULL,
    Reason.UNREACHABLE,
    Reason.TIMED_OUT,
    Reason.FAILED,
    Reason.EMPTY,
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Watched:
    """What one configuration has that is worth watching.

    breakers: of the providers in use, by name. chains: each route's, with who is disabled left out.
    """

    budgets: tuple[Budget, ...]
    breakers: Mapping[str, Breaker]
    chains: Mapping[str, tuple[str, ...]]


class Alerts:
    """From any thread. One per process; to be started after the fork."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: monotonic, in seconds."""
        self._clock = clock
        self._settings = Settings()
        self._watched = Watched((), {}, {})
        self._budget_levels, self._refused_keys = BudgetLevels(), RefusedKeys()
        self._fallbacks = Fallbacks()
        self._mistake: str | None = None  # the one that was told, until a configuration is accepted
        self._outbox = Outbox(clock)
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def serve(self, settings: Settings, watched: Watched) -> None:
        """Watch the parts of a configuration that takes effect, and tell where it says."""
        with self._lock:
            if settings != self._settings:
                self._outbox.try_anew()
            self._settings, self._watched, self._mistake = settings, watched, None
            if settings.url and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
                self._thread.start()
        self._wanted.set()

    def rejected(self, mistake: str) -> None:
        """A configuration was not accepted. Told once for each mistake in a row."""
        with self._lock:
            if mistake == self._mistake or not self._settings.url:
                return
            self._mistake = mistake
        self._put([rejected_alert(mistake)])

    def recorder(self) -> Iterator[Recorder]:
        """What has to learn of each request, if there is anybody to tell."""
        if self._settings.url:
            yield RouteAnswers(self._watched.chains, self._answered, self._wanted.set)

    def close(self) -> None:
        """Tell nothing more."""
        self._closing.set()
        self._wanted.set()

    def _answered(self, route: str, first: str, by: str) -> None:
        self._fallbacks.answered(route, first, by, self._clock())

    def _put(self, alerts: Iterable[Alert]) -> None:
        self._outbox.put(alerts)
        self._wanted.set()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._look()
                self._outbox.send(self._settings, self._closing.is_set)
            except Exception:  # the edge of a thread that must live on
                log.exception("Alerts failed")
            self._closing.wait(PAUSE_S)
            self._wanted.wait(min(TICK_S, self._outbox.pause_s()))
            self._wanted.clear()

    def _look(self) -> None:
        watched = self._watched
        spending = [one for budget in watched.budgets for one in budget.spending()]
        self._put_new(self._budget_levels.due(spending))
        self._put_new(self._refused_keys.due(watched.breakers))
        self._put_new(self._fallbacks.due(watched.breakers, self._clock()))

    def _put_new(self, alerts: Iterable[Alert]) -> None:
        if found := list(alerts):
            self._put(found)


class RouteAnswers(Recorder):
    """Who answers for a route, request by request."""

    def __init__(
        self,
        chains: Mapping[str, tuple[str, ...]],
        answered: Callable[[str, str, str], None],
        finished: Callable[[], None],
    ) -> None:
        """answered: is called with the route, the provider that should answer and the one that does."""
        self._chains = chains
        self._answered = answered
        self._finished = finished
        self._planned: Planned | None = None
        self._faulty: set[str] = set()

    def planned(self, event: Planned) -> None:
        self._planned = event

    def passed_over(self, event: PassedOver) -> None:
        if event.reason in FAULTS:
            self._faulty.add(event.provider)

    def attempt_head(self, event: AttemptHead) -> None:
        """A plan that names a single provider says nothing of the route.

        Nor does a first provider that was passed over for what this request is, or may spend.
        """
        planned = self._planned
        if planned is None or planned.route is None:
            return
        usable = self._chains.get(planned.route, ())
        if len(usable) < 2 or not set(usable) <= set(planned.chain):
            return
        if event.provider == usable[0] or usable[0] in self._faulty:
            self._answered(planned.route, usable[0], event.provider)

    def finished(self, event: Finished) -> None:
        self._finished()
