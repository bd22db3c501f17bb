"""When the money is spent, and when there is some again: over restarts, other workers and 23-hour days."""

import logging
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from accounting import budgets
from accounting.budgets import Budget
from accounting.ledger import Call, Ledger

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
HANG_GUARD_S = 30


@dataclass(frozen=True)
class Limits:
    """The section `budgets`."""

    daily_usd: float | None = None
    monthly_usd: float | None = None


class Clock:
    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock(NOON)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture
def ledger(url):
    made = Ledger(url)
    yield made
    made.close()


@pytest.fixture
def budget_of(ledger, clock):
    """Makes a Budget over the ledger and the clock; closes it in the end."""
    made = []

    def make(limits, timezone="UTC", over=ledger, key=None):
        made.append(Budget(limits, over, timezone, clock, key=key))
        return made[-1]

    yield make
    for budget in made:
        budget.close()


def costing(usd, at=NOON, key=None):
    return [Call(at, "5e551011", "cloud", "c-model", "answered", 10, cost_usd=usd, key=key)]


def test_without_limits_nothing_is_ever_exhausted(budget_of, ledger):
    budget = budget_of(Limits())

    ledger.record(costing(1e6))

    assert not budget.exhausted()


def test_a_budget_is_exhausted_by_the_call_that_reaches_it(budget_of, ledger):
    budget = budget_of(Limits(daily_usd=1.0))

    ledger.record(costing(0.99))
    before = budget.exhausted()
    ledger.record(costing(0.01))

    assert (before, budget.exhausted()) == (False, True)


def test_ten_times_a_tenth_is_one(budget_of, ledger):
    budget = budget_of(Limits(daily_usd=1.0))

    for _ in range(10):
        ledger.record(costing(0.1))

    assert budget.exhausted()


def test_calls_of_unknown_price_spend_nothing(budget_of, ledger):
    budget = budget_of(Limits(daily_usd=0.01))

    ledger.record(costing(None))

    assert not budget.exhausted()


def test_a_budget_of_zero_means_no_cloud_at_all(budget_of):
    assert budget_of(Limits(daily_usd=0.0)).exhausted()


def test_a_key_s_budget_counts_its_own_calls_alone(budget_of, ledger):
    kids, everybody = budget_of(Limits(daily_usd=1.0), key="kids"), budget_of(Limits(daily_usd=2.0))

    ledger.record([*costing(1.0), *costing(0.5, key="mum"), *costing(0.25, key="kids")])
    before = kids.exhausted(), everybody.exhausted()
    ledger.record(costing(0.75, key="kids"))

    assert (before, kids.exhausted(), everybody.exhausted()) == ((False, False), True, True)


def test_what_a_key_spent_before_a_restart_counts(url, budget_of):
    before = Ledger(url)
    before.record([*costing(2.0, key="kids"), *costing(5.0, key="mum")])
    before.close()

    assert budget_of(Limits(daily_usd=2.0), key="kids").exhausted()
    assert not budget_of(Limits(daily_usd=2.5), key="kids").exhausted()


def test_what_was_spent_before_a_restart_counts(url, budget_of):
    before = Ledger(url)
    before.record(costing(2.0))
    before.close()

    assert budget_of(Limits(daily_usd=2.0)).exhausted()


def test_what_another_worker_spends_counts_from_the_next_reading_on(url, budget_of):
    budget, other = budget_of(Limits(daily_usd=2.0)), Ledger(url)
    assert not budget.exhausted()

    other.record(costing(2.0))
    other.close()
    budget.refresh()

    assert budget.exhausted()


def test_a_reading_counts_what_still_waits_to_be_written_once(budget_of, ledger):
    budget = budget_of(Limits(daily_usd=1.0))
    stop = threading.Event()

    def keep_reading():
        while not stop.is_set():
            budget.refresh()

    reading = threading.Thread(target=keep_reading)
    reading.start()
    seen = []
    for _ in range(99):
        ledger.record(costing(0.01))
        seen.append(budget.exhausted())
    ledger.flush()
    stop.set()
    reading.join()
    budget.refresh()

    assert not any(seen)
    assert not budget.exhausted()
    ledger.record(costing(0.01))
    assert budget.exhausted()


def test_the_day_before_does_not_count_today_but_does_this_month(budget_of, ledger):
    ledger.record(costing(5.0, NOON - timedelta(days=1)))

    assert not budget_of(Limits(daily_usd=5.0)).exhausted()
    assert budget_of(Limits(monthly_usd=5.0)).exhausted()


def test_a_new_day_brings_new_money(budget_of, ledger, clock):
    budget = budget_of(Limits(daily_usd=1.0))
    ledger.record(costing(1.0))
    assert budget.exhausted()

    clock.now = datetime(2026, 3, 11, tzinfo=UTC)

    assert not budget.exhausted()


def test_a_new_month_brings_new_money_and_a_new_day_alone_does_not(budget_of, ledger, clock):
    budget = budget_of(Limits(monthly_usd=1.0))
    ledger.record(costing(1.0))

    clock.now = datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC)
    last_of_march = budget.exhausted()
    clock.now = datetime(2026, 4, 1, tzinfo=UTC)

    assert (last_of_march, budget.exhausted()) == (True, False)


def test_a_new_day_leaves_the_month_as_it_is(budget_of, ledger, clock):
    budget = budget_of(Limits(daily_usd=10.0, monthly_usd=15.0))
    ledger.record(costing(9.0))
    assert not budget.exhausted()

    clock.now += timedelta(days=1)
    ledger.record(costing(6.0, clock.now))

    assert budget.exhausted()


def test_a_clock_that_was_a_day_ahead_and_is_set_right_loses_no_spending(budget_of, ledger, clock):
    budget = budget_of(Limits(daily_usd=1.0))
    ledger.record(costing(1.0))
    clock.now = NOON + timedelta(days=1)
    assert not budget.exhausted()

    clock.now = NOON
    budget.refresh()

    assert budget.exhausted()


@pytest.mark.parametrize(
    ("timezone", "last_moment", "first_moment"),
    [
        (
            "Europe/Berlin",
            datetime(2026, 3, 10, 22, 59, 59, tzinfo=UTC),
            datetime(2026, 3, 10, 23, tzinfo=UTC),
        ),
        (
            "America/New_York",
            datetime(2026, 3, 11, 3, 59, 59, tzinfo=UTC),
            datetime(2026, 3, 11, 4, tzinfo=UTC),
        ),
        (
            "Asia/Kolkata",
            datetime(2026, 3, 10, 18, 29, 59, tzinfo=UTC),
            datetime(2026, 3, 10, 18, 30, tzinfo=UTC),
        ),
    ],
)
def test_the_day_ends_at_midnight_of_the_configured_zone(
    budget_of, ledger, clock, timezone, last_moment, first_moment
):
    budget = budget_of(Limits(daily_usd=1.0), timezone)
    ledger.record(costing(1.0))

    clock.now = last_moment
    spent = budget.exhausted()
    clock.now = first_moment

    assert (spent, budget.exhausted()) == (True, False)


def test_the_machines_own_zone_is_followed(budget_of, ledger, clock, monkeypatch):
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        budget = budget_of(Limits(daily_usd=1.0), "local")
        ledger.record(costing(1.0))
        clock.now = datetime(2026, 3, 11, 10, 59, 59, tzinfo=UTC)
        spent = budget.exhausted()
        clock.now = datetime(2026, 3, 11, 11, tzinfo=UTC)  # Auckland is 13 hours ahead in its summer

        assert (spent, budget.exhausted()) == (True, False)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("day", "timezone", "hours"),
    [
        (datetime(2026, 3, 29), "Europe/Berlin", 23),
        (datetime(2026, 10, 25), "Europe/Berlin", 25),
        (datetime(2026, 4, 24), "Africa/Cairo", 23),  # the clocks skip midnight itself
        (datetime(2026, 10, 29), "Africa/Cairo", 25),  # and see the hour before it twice
        (datetime(2026, 11, 1), "America/Havana", 25),  # midnight comes twice
        (datetime(2026, 7, 1), "Europe/Berlin", 24),
    ],
)
def test_a_day_is_as_long_as_its_calendar_says(day, timezone, hours):
    begins = budgets.midnight(day.date(), timezone)
    ends = budgets.midnight(day.date() + timedelta(days=1), timezone)

    assert ends - begins == timedelta(hours=hours)
    assert budgets.local(begins, timezone).date() == day.date()
    assert budgets.local(begins - timedelta(seconds=1), timezone).date() == day.date() - timedelta(days=1)


def test_exhaustion_and_reset_are_one_log_line_each(budget_of, ledger, clock, caplog):
    caplog.set_level(logging.INFO)
    budget = budget_of(Limits(daily_usd=1.0, monthly_usd=50.0), "Europe/Berlin")

    ledger.record(costing(1.25))
    for _ in range(3):
        budget.exhausted()
    clock.now += timedelta(days=1)
    for _ in range(3):
        budget.exhausted()

    lines = [
        (record.levelname, record.getMessage(), getattr(record, "fields", None))
        for record in caplog.records
        if record.name == budgets.__name__
    ]
    assert lines == [
        (
            "WARNING",
            "Budget exhausted:",
            {"period": "daily", "spent_usd": 1.25, "limit_usd": 1.0, "until": "2026-03-10T23:00:00+00:00"},
        ),
        ("WARNING", "Budget reset, there is money again", None),
    ]


class SlowToRead:
    """A ledger whose running sum reaches the thread named "late" only when `go_on` is set."""

    def __init__(self, ledger):
        self._ledger = ledger
        self.spent_usd = ledger.spent_usd
        self.is_read, self.go_on = threading.Event(), threading.Event()

    def recorded_usd_of(self, key):
        recorded_usd = self._ledger.recorded_usd_of(key)
        if threading.current_thread().name == "late":
            self.is_read.set()
            assert self.go_on.wait(HANG_GUARD_S)
        return recorded_usd


def test_who_read_the_sum_before_the_last_call_logs_no_reset(budget_of, ledger, caplog):
    slow = SlowToRead(ledger)
    budget = budget_of(Limits(daily_usd=1.0), over=slow)
    late = threading.Thread(target=budget.exhausted, name="late")
    late.start()
    assert slow.is_read.wait(HANG_GUARD_S)

    ledger.record(costing(1.0))
    assert budget.exhausted()
    slow.go_on.set()
    late.join(HANG_GUARD_S)

    assert [record.getMessage() for record in caplog.records] == ["Budget exhausted:"]


def test_a_ledger_that_cannot_be_read_costs_a_line_and_what_is_recorded_still_counts(
    tmp_path, budget_of, caplog
):
    ledger = Ledger(f"sqlite:///{tmp_path}/missing/ledger.db")

    budget = budget_of(Limits(daily_usd=1.0), over=ledger)
    before = budget.exhausted()
    ledger.record(costing(1.0))

    assert (before, budget.exhausted()) == (False, True)
    assert [record.getMessage() for record in caplog.records if record.name == budgets.__name__][:1] == [
        "Budget could not read the ledger"
    ]
    ledger.close()
