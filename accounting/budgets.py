"""Budgets: is the money for today, or for this month, spent? By everybody, or by the clients with one key.

Every request asks this, so the answer is a comparison of numbers in memory: what everybody has spent by the
ledger, read at start and from time to time by a thread of its own, and what this process has recorded since.
It knows nothing of routes; what to do without money is for others to decide.
"""

import logging
import threading
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from typing import NamedTuple, Protocol

from accounting.ledger import Ledger
from telemetry.logs import fields

REFRESH_S = 15.0  # how long the spending of other processes may go unnoticed
FIRST_READ_S = 3.0  # how long the first requests wait for what was spent before the start

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Period:
    """One limit in one day or month.

    spent_usd: by everybody up to when the ledger was read. recorded_usd: this process's running sum at that
    moment.
    """

    name: str
    limit_usd: float
    start: datetime
    end: datetime
    spent_usd: float
    recorded_usd: float

    def spent_at(self, recorded_usd: float) -> float:
        """USD spent by now, given this process's running sum by now."""
        return round(self.spent_usd + recorded_usd - self.recorded_usd, 8)


class Limits(Protocol):
    """What may be spent, in USD; None: any amount. The section `budgets` has it, and each named key."""

    @property
    def daily_usd(self) -> float | None: ...
    @property
    def monthly_usd(self) -> float | None: ...


class Spending(NamedTuple):
    """How far a budget is spent.

    key: the name of the key it is for, None for everybody's. period: daily or monthly. start, end: of the day
    or month, in the configured time zone.
    """

    key: str | None
    period: str
    spent_usd: float
    limit_usd: float
    start: datetime
    end: datetime


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Budget:
    def __init__(
        self,
        limits: Limits,
        ledger: Ledger,
        timezone: str,
        clock: Callable[[], datetime] = _utc_now,
        *,
        key: str | None = None,
    ) -> None:
        """timezone: an IANA name or "local". clock: gives an aware datetime.

        key: the name of the key whose spending is limited; None: everybody's.
        """
        self._limits = _by_period(limits)
        self._key = key
        self._ledger = ledger
        self._timezone = timezone
        self._clock = clock
        self._lock = threading.Lock()
        self._was_exhausted = False
        self._readable = True
        self._was_read = threading.Event()  # the ledger has been read once, with whatever success
        self._refresh_due = threading.Event()  # set when the ledger is to be read before its time
        self._closing = False
        self._periods = [self._unspent(name, clock()) for name in self._limits]
        if self._limits:
            threading.Thread(target=self._run, name="budget", daemon=True).start()

    def has_limits_of(self, limits: Limits) -> bool:
        """Whether it counts by these very limits."""
        return self._limits == _by_period(limits)

    def exhausted(self) -> bool:
        """Whether a budget is spent. Never raises; waits only the first time, for the ledger to be read."""
        if not self._limits:
            return False
        self._was_read.wait(FIRST_READ_S)
        now = self._clock()
        if not all(period.start <= now < period.end for period in self._periods):
            with self._lock:
                self._periods = [
                    period if period.start <= now < period.end else self._unspent(period.name, now)
                    for period in self._periods
                ]
            self._refresh_due.set()
        is_exhausted = bool(self._spent_periods(self._recorded_usd()))
        if is_exhausted != self._was_exhausted:
            self._log_change()
        return is_exhausted

    def spending(self) -> list[Spending]:
        """How far each limit is spent by now. Waits the first time, as `exhausted` does."""
        self.exhausted()  # a day that is over has made room for the next
        recorded_usd = self._recorded_usd()
        return [
            Spending(
                self._key,
                period.name,
                period.spent_at(recorded_usd),
                period.limit_usd,
                local(period.start, self._timezone),
                local(period.end, self._timezone),
            )
            for period in self._periods
        ]

    def refresh(self) -> None:
        """Read from the ledger what everybody has spent.

        A ledger that cannot be read costs one log line, and the sum goes on from where it was.
        """
        try:
            now = self._clock()
            periods = [self._with_spending(self._unspent(name, now)) for name in self._limits]
        except Exception as error:  # the edge of a thread that must live on
            if self._readable:
                log.error("Budget could not read the ledger", extra=fields(error=type(error).__name__))
            self._readable = False
        else:
            self._readable = True
            with self._lock:
                self._periods = periods
        finally:
            self._was_read.set()

    def close(self) -> None:
        """Stop reading the ledger."""
        self._closing = True
        self._refresh_due.set()

    def _run(self) -> None:
        while not self._closing:
            self.refresh()
            self.exhausted()  # so that a reset at midnight is logged at midnight
            self._refresh_due.wait(REFRESH_S)
            self._refresh_due.clear()

    def _unspent(self, name: str, now: datetime) -> Period:
        start, end = _span(name, now, self._timezone)
        return Period(name, self._limits[name], start, end, 0.0, self._recorded_usd())

    def _recorded_usd(self) -> float:
        return self._ledger.recorded_usd_of(self._key)

    def _with_spending(self, period: Period) -> Period:
        spent = self._ledger.spent_usd(period.start, self._key)
        return replace(period, spent_usd=spent.usd, recorded_usd=spent.recorded_usd)

    def _spent_periods(self, recorded_usd: float) -> list[Period]:
        return [period for period in self._periods if period.spent_at(recorded_usd) >= period.limit_usd]

    def _log_change(self) -> None:
        """Log, once, that there is no more money, or some again.

        Looks again under the lock: what a slower thread saw before may no longer be so.
        """
        with self._lock:
            recorded_usd = self._recorded_usd()
            spent = self._spent_periods(recorded_usd)
            if bool(spent) == self._was_exhausted:
                return
            self._was_exhausted = bool(spent)
        whose = {} if self._key is None else {"key": self._key}
        if not spent:
            log.warning("Budget reset, there is money again", extra=fields(**whose) if whose else None)
            return
        longest = max(spent, key=lambda period: period.end)
        details = fields(
            **whose,
            period=longest.name,
            spent_usd=longest.spent_at(recorded_usd),
            limit_usd=longest.limit_usd,
            until=longest.end.isoformat(),
        )
        log.warning("Budget exhausted:", extra=details)


def _by_period(limits: Limits) -> dict[str, float]:
    usd = {"daily": limits.daily_usd, "monthly": limits.monthly_usd}
    return {name: limit for name, limit in usd.items() if limit is not None}


def _span(name: str, now: datetime, timezone: str) -> tuple[datetime, datetime]:
    """The day or month around an aware datetime, as (start, end) in UTC, by the calendar of a time zone."""
    today = local(now, timezone).date()
    if name == "daily":
        return midnight(today, timezone), midnight(today + timedelta(days=1), timezone)
    first = today.replace(day=1)
    return midnight(first, timezone), midnight((first + timedelta(days=31)).replace(day=1), timezone)


def local(at: datetime, timezone: str) -> datetime:
    """An aware datetime as the clocks of a time zone show it. timezone: an IANA name, or "local"."""
    return at.astimezone(None if timezone == "local" else zoneinfo.ZoneInfo(timezone))


def midnight(day: date, timezone: str) -> datetime:
    """When a date begins in a time zone, in UTC: its first moment, if clocks skip midnight or repeat it."""
    naive = datetime.combine(day, time_of_day())
    at = naive if timezone == "local" else naive.replace(tzinfo=zoneinfo.ZoneInfo(timezone))
    return at.astimezone(UTC)
