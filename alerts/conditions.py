"""When there is something to tell, and whether it has been told. No clock of its own, no thread, no socket.

Each class is for one kind of event: its `due` gives the alerts that are new at this moment. They live as long
as the process, over every configuration.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from accounting.budgets import Spending
from alerts.alert import Alert, budget_alert, fallback_alert, refused_alert

FALLBACK_S = 600.0  # how long a route lives on a fallback before the owner is told
LEVELS = (1.0, 0.8)  # of a budget, the most important first


class Breaker(Protocol):
    """What is asked of a provider's breaker."""

    @property
    def available(self) -> bool: ...
    @property
    def misconfigured(self) -> bool: ...


class BudgetLevels:
    """Budgets at 80 and 100 %: each level once in each day or month.

    What was spent when the process began was told by the one before it.
    """

    def __init__(self) -> None:
        # The budget -> the level that was told.
        self._alerted: dict[tuple[str | None, str, float, datetime], float] = {}
        self._began = False

    def due(self, budgets: Iterable[Spending]) -> Iterator[Alert]:
        budgets = [budget for budget in budgets if budget.limit_usd > 0]  # a limit of 0 is no event
        levels = {}
        for budget in budgets:
            which = (budget.key, budget.period, budget.limit_usd, budget.start)
            before = self._alerted.get(which, 0.0)
            reached = next((level for level in LEVELS if _has_reached(budget, level)), 0.0)
            levels[which] = max(before, reached)
            if reached > before and self._began:
                yield budget_alert(budget, is_spent=reached == LEVELS[0])
        self._alerted, self._began = levels, True


def _has_reached(budget: Spending, level: float) -> bool:
    return budget.spent_usd >= round(level * budget.limit_usd, 8)  # to the digits that spending has


class RefusedKeys:
    """Providers that refuse their key: once until they accept it, or have other settings."""

    def __init__(self) -> None:
        self._alerted: dict[str, Breaker] = {}

    def due(self, breakers: Mapping[str, Breaker]) -> Iterator[Alert]:
        """breakers: by the provider's name; a provider whose settings change has another one."""
        refused = {name: breaker for name, breaker in breakers.items() if breaker.misconfigured}
        for name, breaker in refused.items():
            if self._alerted.get(name) is not breaker:
                yield refused_alert(name)
        self._alerted = refused


@dataclass
class _Fallback:
    """first: who should answer. answering: who did last. since, last: the first and the last such answer."""

    first: str
    answering: str
    since: float
    last: float
    is_told: bool = False


class Fallbacks:
    """Routes on a fallback: once until the first provider answers again. From any thread.

    A route without requests lives on nothing: it takes an answer by another provider after the time, or a
    first provider that is still left alone.
    """

    def __init__(self) -> None:
        self._routes: dict[str, _Fallback] = {}
        self._lock = threading.Lock()

    def answered(self, route: str, first: str, by: str, now: float) -> None:
        """A request of a route was answered. first: the provider that should. now: monotonic, in seconds."""
        with self._lock:
            known = self._routes.get(route)
            if by == first:
                self._routes.pop(route, None)
            elif known is None or known.first != first:
                self._routes[route] = _Fallback(first, by, now, now)
            else:
                known.answering, known.last = by, now

    def due(self, breakers: Mapping[str, Breaker], now: float) -> Iterator[Alert]:
        with self._lock:
            self._routes = {route: one for route, one in self._routes.items() if one.first in breakers}
            late = [(route, one) for route, one in self._routes.items() if now - one.since >= FALLBACK_S]
            alerts = []
            for route, one in late:
                goes_on = one.last - one.since >= FALLBACK_S or not breakers[one.first].available
                if goes_on and not one.is_told:
                    one.is_told = True
                    alerts.append(fallback_alert(route, one.first, one.answering, round(FALLBACK_S / 60)))
        yield from alerts
