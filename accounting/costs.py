"""What did it cost? The questions people ask the ledger, for `GET /v1/costs`.

Money is in USD, and null where no price is known. `unpriced_calls` counts the calls for which that is so;
what they cost is in no sum.
"""

import re
import zoneinfo
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from accounting import prices
from accounting.budgets import local, midnight
from accounting.ledger import Ledger, Row, calls
from errors import BadRequest
from settings.model import Provider
from telemetry.events import ANSWERED, CANCELLED, FAILED
from wire import JsonObject
from wire.usage import Usage

GROUPS = ("provider", "model", "route", "key", "day")  # what the sums can be grouped by
FLUSH_S = 2.0  # how long a report waits for the calls of a moment ago to be written
# Prompts of about one length are priced together; price lists have their steps at multiples of it.
BAND_TOKENS = 1000
TOKENS = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")

_AGE = re.compile(r"([0-9]{1,6})([dh])")
_UNITS = {"d": "days", "h": "hours"}
# "+01:00" arrives as " 01:00" unless it was escaped in the URL.
_LOST_PLUS = re.compile(r"(?<=:[0-9]{2}) (?=[0-9]{2}:[0-9]{2}$)")
_SUMS: tuple[sa.Label[Any], ...] = (
    sa.func.count().label("calls"),
    sa.func.sum(calls.c.cost_usd).label("cost_usd"),
    sa.func.count().filter(calls.c.cost_usd.is_(None)).label("unpriced_calls"),
    sa.func.count().filter(calls.c.estimated).label("estimated_calls"),
    *(sa.func.coalesce(sa.func.sum(calls.c[name]), 0).label(name) for name in TOKENS),
)


def cloud_of(chain: Iterable[str], providers: Mapping[str, Provider]) -> tuple[str, Provider] | None:
    """The name and settings of the provider that answers where all goes to the cloud.

    It is the first that is not local. chain: the cloud route's. None without one.
    """
    named = ((name, providers[name]) for name in chain)
    return next(((name, provider) for name, provider in named if not provider.is_home), None)


class Costs:
    def __init__(self, ledger: Ledger, timezone: str, cloud: tuple[str, Provider] | None) -> None:
        """timezone: whose days are counted, an IANA name or "local". cloud: as `cloud_of` gives it."""
        self._ledger = ledger
        self._timezone = timezone
        self._cloud = cloud

    def since(
        self, text: str | None = None, now: datetime | None = None, *, by: str | None = None
    ) -> JsonObject:
        """What the calls that started since then cost.

        text: an ISO date or datetime, in the configured time zone unless it names one, or an age such as 7d
        or 24h; None or "" takes 7d. now: an aware datetime; None takes the present. by: one of GROUPS, for
        the total and these sums alone; None or "" for the whole report. Raises BadRequest for any other text,
        LedgerUnreadable.
        """
        if by and by not in GROUPS:
            raise BadRequest(f"'by' must be one of {', '.join(GROUPS)}", param="by")
        now = local(now or datetime.now(UTC), self._timezone)
        start = self._moment(text or "7d", now)
        self._ledger.flush(FLUSH_S)
        within = calls.c.at >= start
        whole = {
            "since": start.isoformat(timespec="seconds"),
            "until": now.isoformat(timespec="seconds"),
            "total": self._sums(within),
        }
        if by:
            return {**whole, f"{by}s": self._grouped(by, start)}
        return {
            **whole,
            **{f"{group}s": self._grouped(group, start) for group in GROUPS if group != "key"},
            "all_cloud": self._all_cloud(within),
            "speculation": self._speculation(within),
        }

    def _moment(self, text: str, now: datetime) -> datetime:
        try:
            if age := _AGE.fullmatch(text.strip()):
                at = now.astimezone(UTC) - int(age[1]) * timedelta(**{_UNITS[age[2]]: 1})
            else:
                at = datetime.fromisoformat(_LOST_PLUS.sub("+", text.strip()))
                if at.tzinfo is None and self._timezone != "local":
                    at = at.replace(tzinfo=zoneinfo.ZoneInfo(self._timezone))
            return local(at.astimezone(UTC), self._timezone)
        except (ValueError, OverflowError, OSError) as error:
            raise BadRequest(
                "'since' must be an ISO date or datetime such as 2026-01-31, or an age such as 7d or 24h",
                param="since",
            ) from error

    def _sums(self, within: sa.ColumnElement[bool]) -> JsonObject:
        [row] = self._ledger.select(sa.select(*_SUMS).where(within))
        return _as_sums(row)

    def _grouped(self, group: str, start: datetime) -> list[JsonObject]:
        """The sums of each day, oldest first, or for each value of another column, dearest first."""
        if group == "day":
            return self._by_day(start)
        column = calls.c[group]
        rows = self._ledger.select(sa.select(*_SUMS, column).where(calls.c.at >= start).group_by(column))
        groups = [{column.name: row[-1], **_as_sums(row)} for row in rows]
        return sorted(
            groups, key=lambda sums: (-(sums["cost_usd"] or 0), -sums["calls"], str(sums[column.name]))
        )

    def _by_day(self, start: datetime) -> list[JsonObject]:
        """The sums of each day that had a call, oldest first.

        A day can have 23 or 25 hours, so each is queried by its own bounds.
        """
        [(oldest, newest)] = self._ledger.select(
            sa.select(sa.func.min(calls.c.at), sa.func.max(calls.c.at)).where(calls.c.at >= start)
        )
        if oldest is None:
            return []
        days = []
        day = local(oldest, self._timezone).date()
        while (begins := midnight(day, self._timezone)) <= newest:
            following = day + timedelta(days=1)
            ends = midnight(following, self._timezone)
            sums = self._sums((calls.c.at >= max(begins, start)) & (calls.c.at < ends))
            if sums["calls"]:
                days.append({"day": day.isoformat(), **sums})
            day = following
        return days

    def _all_cloud(self, within: sa.ColumnElement[bool]) -> JsonObject | None:
        """What the answered calls would have cost at the cloud's price, with as many of their tokens cached.

        Between its steps a price is linear in tokens, so the mean call of a band times their number costs
        what they would one by one. None without a cloud provider.
        """
        if self._cloud is None:
            return None
        name, provider = self._cloud
        totals = (sa.func.sum(sa.func.coalesce(calls.c[tokens], 0)) for tokens in TOKENS)
        answered = (calls.c.outcome == ANSWERED) & calls.c.input_tokens.is_not(None)
        band = calls.c.input_tokens // BAND_TOKENS
        bands = sa.select(sa.func.count(), *totals).where(within & answered).group_by(band)
        cost_usd, priced_calls, answered_calls = 0.0, 0, 0
        for count, *tokens in self._ledger.select(bands):
            answered_calls += count
            means = {key: Decimal(total) / count for key, total in zip(TOKENS, tokens, strict=True)}
            mean_call = Usage(**means)
            mean_usd = prices.cost_usd(provider, provider.model, mean_call)
            if mean_usd is not None:
                cost_usd += mean_usd * count
                priced_calls += count
        is_known = priced_calls > 0 or answered_calls == 0
        return {
            "provider": name,
            "model": provider.model,
            "calls": priced_calls,
            "cost_usd": round(cost_usd, 8) if is_known else None,
        }

    def _speculation(self, within: sa.ColumnElement[bool]) -> JsonObject:
        """What speculation brought and took.

        wasted: of calls that were not adopted; saved_ms: over all adopted ones.
        """
        adopted = calls.c.saved_ms.is_not(None)
        cancelled, failed = calls.c.outcome == CANCELLED, calls.c.outcome == FAILED
        tokens = sa.func.coalesce(calls.c.input_tokens, 0) + sa.func.coalesce(calls.c.output_tokens, 0)
        sums = sa.select(
            sa.func.count().label("calls"),
            sa.func.count().filter(adopted).label("adopted"),
            sa.func.count().filter(~adopted & cancelled).label("cancelled"),
            sa.func.count().filter(~adopted & failed).label("failed"),
            sa.func.coalesce(sa.func.sum(tokens).filter(~adopted), 0).label("wasted_tokens"),
            sa.func.sum(calls.c.cost_usd).filter(~adopted).label("wasted_usd"),
            sa.func.coalesce(sa.func.sum(calls.c.saved_ms), 0).label("saved_ms"),
        )
        [row] = self._ledger.select(sums.where(within & calls.c.speculative))
        speculation = _as_json(row._asdict())
        if speculation["calls"] == speculation["adopted"]:
            speculation["wasted_usd"] = 0.0  # none wasted costs nothing, which is known
        return speculation


def _as_sums(row: Row) -> JsonObject:
    """One row of _SUMS as JSON has it. No calls cost nothing, which is known."""
    sums = _as_json({column.name: row[i] for i, column in enumerate(_SUMS)})
    return sums if sums["calls"] else {**sums, "cost_usd": 0.0}


def _as_json(sums: Mapping[str, Any]) -> JsonObject:
    # PostgreSQL's sums of whole numbers are decimals.
    return {
        name: value and round(float(value), 8) if name.endswith("_usd") else int(value)
        for name, value in sums.items()
    }
