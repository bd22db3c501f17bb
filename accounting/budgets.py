"""Budgets: is the money for today, or for this month, spent?

Asked for every request, so the answer is a comparison of numbers in memory: what everybody has spent by the ledger, read at start and from time to time
by a thread of its own, and what this process has booked since. It knows nothing of routes; what to do without money is for others to say.
"""

import logging
import threading
import zoneinfo
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day

from telemetry.logs import fields

REFRESH_S = 15.0  # how long the spending of other processes may go unnoticed
FIRST_READ_S = 3.0  # how long the first requests wait for what was spent before the start

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Period:
    """One limit in one day or month. spent_usd: by everybody up to when the ledger was read; booked_usd: this process's running sum at that moment."""

    name: str
    limit_usd: float
    start: datetime
    end: datetime
    spent_usd: float
    booked_usd: float

    def spent_at(self, booked_usd):
        """USD spent by now, given this process's running sum by now."""
        return round(self.spent_usd + booked_usd - self.booked_usd, 8)


class Budget:
    def __init__(self, settings, ledger, timezone, clock=lambda: datetime.now(UTC)):
        """settings: config.Budgets (daily_usd, monthly_usd, each None for no limit). timezone: IANA name or "local". clock: gives an aware datetime."""
        self._limits = {
            name: limit
            for name, limit in (("daily", settings.daily_usd), ("monthly", settings.monthly_usd))
            if limit is not None
        }
        self._ledger = ledger
        self._timezone = timezone
        self._clock = clock
        self._lock = threading.Lock()
        self._was_exhausted = False
        self._readable = True
        self._read = threading.Event()  # the ledger has been asked once, with whatever success
        self._due = threading.Event()  # set when the ledger is to be read before its time
        self._closing = False
        self._periods = [self._unspent(name, clock()) for name in self._limits]
        if self._limits:
            threading.Thread(target=self._run, name="budget", daemon=True).start()

    def exhausted(self):
        """Whether a budget is spent. Never raises and never waits, except the very first time, for the ledger to be read."""
        if not self._limits:
            return False
        self._read.wait(FIRST_READ_S)
        now = self._clock()
        if not all(period.start <= now < period.end for period in self._periods):
            with self._lock:
                self._periods = [
                    period if period.start <= now < period.end else self._unspent(period.name, now)
                    for period in self._periods
                ]
            self._due.set()
        booked_usd = self._ledger.booked_usd
        spent = [period for period in self._periods if period.spent_at(booked_usd) >= period.limit_usd]
        if bool(spent) != self._was_exhausted:
            self._turned(spent, booked_usd)
        return bool(spent)

    def refresh(self):
        """Read from the ledger what everybody has spent. A ledger that cannot be read costs one log line, and the sum goes on from where it was."""
        try:
            now = self._clock()
            periods = [self._as_read(self._unspent(name, now)) for name in self._limits]
        except Exception as error:  # the edge of a thread that must live on
            if self._readable:
                log.error("Budget could not read the ledger", extra=fields(error=type(error).__name__))
            self._readable = False
        else:
            self._readable = True
            with self._lock:
                self._periods = periods
        finally:
            self._read.set()

    def close(self):
        """Stop reading the ledger."""
        self._closing = True
        self._due.set()

    def _run(self):
        while not self._closing:
            self.refresh()
            self.exhausted()  # so that a reset at midnight is logged at midnight
            self._due.wait(REFRESH_S)
            self._due.clear()

    def _unspent(self, name, now):
        return Period(
            name, self._limits[name], *_span(name, now, self._timezone), 0.0, self._ledger.booked_usd
        )

    def _as_read(self, period):
        spent = self._ledger.spent_usd(period.start)
        return replace(period, spent_usd=spent.usd, booked_usd=spent.booked_usd)

    def _turned(self, spent, booked_usd):
        with self._lock:
            if bool(spent) == self._was_exhausted:
                return
            self._was_exhausted = bool(spent)
        if not spent:
            log.warning("Budget reset, there is money again")
            return
        period = max(spent, key=lambda period: period.end)
        told = {
            "period": period.name,
            "spent_usd": period.spent_at(booked_usd),
            "limit_usd": period.limit_usd,
            "until": period.end.isoformat(),
        }
        log.warning("Budget exhausted:", extra=fields(**told))


def _span(name, now, timezone):
    """The day or month around an aware datetime, as (start, end) in UTC, by the calendar of a time zone."""
    today = local(now, timezone).date()
    if name == "daily":
        return midnight(today, timezone), midnight(today + timedelta(days=1), timezone)
    first = today.replace(day=1)
    return midnight(first, timezone), midnight((first + timedelta(days=31)).replace(day=1), timezone)


def local(at, timezone):
    """An aware datetime as the clocks of a time zone show it. timezone: an IANA name, or "local" for the machine's own."""
    return at.astimezone(None if timezone == "local" else zoneinfo.ZoneInfo(timezone))


def midnight(day, timezone):
    """When a date begins in a time zone, in UTC; where the clocks skip midnight or see it twice, the first moment of that date."""
    naive = datetime.combine(day, time_of_day())
    return (naive if timezone == "local" else naive.replace(tzinfo=zoneinfo.ZoneInfo(timezone))).astimezone(
        UTC
    )
