"""The date, in words a model can use, computed once per request and handed down.

Only what changes a few times a day stands in it, coarse first, so that a system message that ends with it stays the same from turn to turn
and minute to minute and the upstream's prefix cache holds.
"""

import zoneinfo
from datetime import datetime

_SEASONS = ("winter", "spring", "summer", "autumn")  # meteorological, northern half
_TIMES_OF_DAY = (
    (5, "night"),
    (12, "morning"),
    (17, "afternoon"),
    (22, "evening"),
    (24, "night"),
)  # (before this hour, name)


def now_in(timezone):
    """The wall-clock time in a zone: an IANA name, or "local" for the machine's own."""
    return datetime.now().astimezone() if timezone == "local" else datetime.now(zoneinfo.ZoneInfo(timezone))


def date_context(now):
    """One line about an aware datetime: season, time zone, date, weekday, whether it is a weekend, time of day."""
    zone = getattr(now.tzinfo, "key", None) or now.strftime("%Z (UTC%z)")
    part = next(name for before, name in _TIMES_OF_DAY if now.hour < before)
    kind = "weekend" if now.weekday() >= 5 else "working week"
    season = _SEASONS[now.month % 12 // 3]
    return f"Season: {season} (northern hemisphere). Time zone: {zone}. Today is {now:%A}, {now.day} {now:%B %Y} ({kind}), {part}."
