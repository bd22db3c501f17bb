"""The date in words: boundaries, seasons, weekends and zones."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from proxy.prompts import date_context, now_in

BERLIN = ZoneInfo("Europe/Berlin")


def test_the_whole_line():
    now = datetime(2026, 11, 7, 14, 30, tzinfo=BERLIN)

    assert (
        date_context(now) == "Season: autumn (northern hemisphere). Time zone: Europe/Berlin. "
        "Today is Saturday, 7 November 2026 (weekend), afternoon."
    )


@pytest.mark.parametrize(
    "clock, name",
    [
        ("00:00", "night"),
        ("04:59", "night"),
        ("05:00", "morning"),
        ("11:59", "morning"),
        ("12:00", "afternoon"),
        ("16:59", "afternoon"),
        ("17:00", "evening"),
        ("21:59", "evening"),
        ("22:00", "night"),
        ("23:59", "night"),
    ],
)
def test_the_times_of_day(clock, name):
    assert date_context(datetime.fromisoformat(f"2026-06-10T{clock}+00:00")).endswith(f", {name}.")


@pytest.mark.parametrize(
    "day, season",
    [
        ("2025-11-30", "autumn"),
        ("2025-12-01", "winter"),
        ("2026-01-01", "winter"),
        ("2028-02-29", "winter"),
        ("2026-03-01", "spring"),
        ("2026-05-31", "spring"),
        ("2026-06-01", "summer"),
        ("2026-08-31", "summer"),
        ("2026-09-01", "autumn"),
    ],
)
def test_the_seasons_begin_with_their_months(day, season):
    assert date_context(datetime.fromisoformat(f"{day}T12:00+00:00")).startswith(f"Season: {season} ")


@pytest.mark.parametrize("day, told", [
    ("2026-06-05", "Friday, 5 June 2026 (working week)"),
    ("2026-06-06", "Saturday, 6 June 2026 (weekend)"),
    ("2026-06-07", "Sunday, 7 June 2026 (weekend)"),
    ("2026-06-08", "Monday, 8 June 2026 (working week)"),
])  # fmt: skip
def test_the_weekend_is_saturday_and_sunday(day, told):
    assert told in date_context(datetime.fromisoformat(f"{day}T12:00+00:00"))


def test_the_same_moment_is_another_day_elsewhere():
    moment = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)

    assert "Thursday, 31 December 2026" in date_context(moment)
    assert "Friday, 1 January 2027" in date_context(moment.astimezone(ZoneInfo("Asia/Tokyo")))


def test_a_zone_keeps_its_name_when_the_clocks_change():
    before = datetime(2026, 3, 29, 0, 59, tzinfo=UTC).astimezone(BERLIN)
    after = before + timedelta(days=1)

    assert "Time zone: Europe/Berlin." in date_context(before)
    assert "Time zone: Europe/Berlin." in date_context(after)


def test_the_hour_that_the_clocks_skip_moves_the_time_of_day():
    told = [date_context(datetime(2026, 3, day, 3, 30, tzinfo=UTC).astimezone(BERLIN)) for day in (28, 29)]

    assert told[0].endswith("Saturday, 28 March 2026 (weekend), night.")  # 4:30
    assert told[1].endswith(
        "Sunday, 29 March 2026 (weekend), morning."
    )  # 5:30, the clocks went forward at 2:00


def test_a_zone_without_a_name_tells_its_offset():
    assert "Time zone: CET (UTC+0100)." in date_context(
        datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1), "CET"))
    )


def test_now_is_told_in_the_zone_asked_for():
    here, there = now_in("local"), now_in("Pacific/Auckland")

    assert abs(here - there) < timedelta(minutes=1)
    assert there.tzinfo.key == "Pacific/Auckland"
    assert here.utcoffset() == datetime.now().astimezone().utcoffset()
