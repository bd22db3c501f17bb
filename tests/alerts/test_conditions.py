"""When the owner is told, and that it is once."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from accounting.budgets import Spending
from alerts.conditions import FALLBACK_S, BudgetLevels, Fallbacks, RefusedKeys

TODAY = datetime(2026, 3, 10, tzinfo=UTC)


@dataclass(eq=False)
class FakeBreaker:
    available: bool = True
    misconfigured: bool = False


def spent(usd, limit=1.0, key=None, period="daily", start=TODAY):
    return Spending(key, period, usd, limit, start, start + timedelta(days=1))


# Budgets.


def levels(*moments):
    """The events of each moment, a moment being the budgets as they are then."""
    watch = BudgetLevels()
    return [[(one.event, one.details["key"]) for one in watch.due(budgets)] for budgets in moments]


def test_each_level_is_told_once():
    moments = [[spent(usd)] for usd in (0.0, 0.79, 0.8, 0.9, 1.0, 1.1)]

    assert levels(*moments) == [[], [], [("budget_80", None)], [], [("budget_100", None)], []]


def test_a_budget_that_is_spent_at_once_is_told_as_spent_alone():
    assert levels([spent(0.0)], [spent(1.5)], [spent(1.6)]) == [[], [("budget_100", None)], []]


def test_the_next_day_has_its_own_levels():
    tomorrow = TODAY + timedelta(days=1)

    told = levels([spent(0)], [spent(1)], [spent(0, start=tomorrow)], [spent(1, start=tomorrow)])

    assert told == [[], [("budget_100", None)], [], [("budget_100", None)]]


def test_each_key_each_period_and_each_limit_has_its_own_levels():
    before = [spent(0.0), spent(0.0, key="kids"), spent(0.0, period="monthly")]
    after = [spent(0.8), spent(1.0, key="kids"), spent(0.1, period="monthly")]
    raised = [spent(1.6, limit=2.0), *after[1:]]

    assert levels(before, after, raised) == [
        [],
        [("budget_80", None), ("budget_100", "kids")],
        [("budget_80", None)],
    ]


def test_what_was_spent_before_the_start_was_told_by_the_process_before():
    assert levels([spent(0.9)], [spent(0.95)], [spent(1.0)]) == [[], [], [("budget_100", None)]]


def test_ten_times_a_hundredth_is_a_tenth():
    assert levels([spent(0, limit=0.003)], [spent(0.0024, limit=0.003)])[1] == [("budget_80", None)]


def test_a_limit_of_zero_is_no_event():
    assert levels([spent(0.0, limit=0.0)], [spent(0.5, limit=0.0)]) == [[], []]


def test_a_budget_is_told_in_words():
    watch = BudgetLevels()
    list(watch.due([spent(0.0, limit=0.2, key="kids")]))

    [alert] = watch.due([spent(0.17, limit=0.2, key="kids")])
    [over] = watch.due([spent(0.2, limit=0.2, key="kids")])

    assert alert.message == (
        "The daily budget of the key kids: 0.17 of 0.20 USD (85%) are spent; "
        "it starts anew on 2026-03-11 00:00."
    )
    assert over.message == (
        "The daily budget of the key kids: 0.20 of 0.20 USD (100%) are spent. "
        "Until 2026-03-11 00:00 answers come from home alone."
    )


def test_small_amounts_are_told_with_their_digits():
    watch = BudgetLevels()
    list(watch.due([spent(0.0, limit=0.003)]))

    [alert] = watch.due([spent(0.0031, limit=0.003)])

    assert ": 0.0031 of 0.003 USD (103%) are spent. " in alert.message


# Keys.


def test_a_refused_key_is_told_once_until_it_is_accepted():
    watch, xai = RefusedKeys(), FakeBreaker()
    told = []
    for misconfigured in (False, True, True, False, True):
        xai.misconfigured = misconfigured
        told.append([alert.message for alert in watch.due({"xai": xai})])

    message = "The provider xai refuses its key. It is left alone until its settings are mended."
    assert told == [[], [message], [], [], [message]]


def test_a_provider_whose_settings_changed_is_told_again():
    watch = RefusedKeys()

    told = [len(list(watch.due({"xai": FakeBreaker(misconfigured=True)}))) for _ in range(2)]

    assert told == [1, 1]


# Fallbacks.


@pytest.fixture
def fallbacks():
    return Fallbacks()


def due(fallbacks, now, main_available=True):
    breakers = {"main": FakeBreaker(available=main_available), "backup": FakeBreaker()}
    return [alert.message for alert in fallbacks.due(breakers, now)]


MESSAGE = "For 10 minutes the route primary has been answered by backup, not by main. GET /health tells why."


def test_a_route_on_a_fallback_is_told_after_ten_minutes_and_once(fallbacks):
    for now in (0, 300, 599):
        fallbacks.answered("primary", "main", "backup", now)
        assert due(fallbacks, now) == []
    fallbacks.answered("primary", "main", "backup", 601)

    assert due(fallbacks, 601) == [MESSAGE]
    assert due(fallbacks, 5000, main_available=False) == []


def test_an_answer_by_the_first_provider_ends_it(fallbacks):
    fallbacks.answered("primary", "main", "backup", 0)
    fallbacks.answered("primary", "main", "main", 300)
    fallbacks.answered("primary", "main", "backup", 700)

    assert due(fallbacks, 1000, main_available=False) == []
    assert due(fallbacks, 700 + FALLBACK_S, main_available=False) == [MESSAGE]


def test_after_it_is_healthy_again_the_next_time_is_told_anew(fallbacks):
    for start in (0, 10_000):
        fallbacks.answered("primary", "main", "backup", start)
        assert due(fallbacks, start + FALLBACK_S, main_available=False) == [MESSAGE]
        fallbacks.answered("primary", "main", "main", start + 5000)


def test_one_answer_long_ago_is_no_life_on_a_fallback_where_the_first_is_well_again(fallbacks):
    fallbacks.answered("primary", "main", "backup", 0)

    assert due(fallbacks, 3600) == []
    assert due(fallbacks, 3600, main_available=False) == [MESSAGE]


def test_a_route_whose_first_provider_is_another_begins_anew(fallbacks):
    fallbacks.answered("primary", "main", "backup", 0)
    fallbacks.answered("primary", "newer", "backup", 500)

    assert due(fallbacks, 700, main_available=False) == []
