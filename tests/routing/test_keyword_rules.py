"""Decisions by keywords alone: how often they are right, and that no text takes them long."""

import itertools
import threading

import pytest

from routing import keyword_rules
from tests.support.server import HANG_GUARD_S
from training import data


def asked(*texts):
    """A conversation of a user alone with an assistant that says little."""
    return [turn for text in texts for turn in (("user", text), ("assistant", "Well."))][:-1]


@pytest.mark.parametrize(
    ("turns", "decision", "rule"),
    [
        (asked("What's the weather in Bergen tomorrow?"), "ENRICH", "a matter of today"),
        (asked("who runs the European Central Bank"), "ENRICH", "who holds it, what is newest"),
        (asked("opening hours of the Louvre"), "ENRICH", "times and places"),
        (asked("¿qué tiempo hace hoy en Lima?"), "ENRICH", "a matter of today"),
        (asked("股价是多少"), "ENRICH", "weather, prices, scores"),
        (asked("summarise https://example.org/news for me"), "ENRICH", "a wish to look it up"),
        (asked("Prove that every finite division ring is commutative."), "COMPLEX", "a proof or derivation"),
        (
            asked("Design a distributed key-value store with multi-region failover"),
            "COMPLEX",
            "a whole system",
        ),
        (asked("translate 'what is the weather today' into Dutch"), "MODERATE", "a text to work on"),
        (asked("pandas: keep the latest row of each customer"), "MODERATE", "a program of everyday size"),
        (asked("why is the sky blue"), "MODERATE", "none"),
        (asked("weather in Bergen?", "and Oslo?"), "ENRICH", "weather, prices, scores"),
        (asked("weather in Bergen?", "thanks, that helps a lot"), "MODERATE", "none"),
        (asked("prove Sylow's theorem", "why?"), "MODERATE", "none"),
        ([], "MODERATE", "none"),
    ],
)
def test_the_first_rule_that_speaks_decides(turns, decision, rule):
    assert keyword_rules.decide(turns) == (decision, rule)


@pytest.mark.parametrize(
    ("rows", "at_least"),
    [(data.by_hand("development"), 0.82), (data.sample(data.pool(), 100), 0.84)],
    ids=["development", "pool"],
)
def test_rules_are_right_on_four_of_five_requests(rows, at_least):
    right = [keyword_rules.decide(list(row.turns))[0] == row.label for row in rows]

    assert sum(right) / len(right) >= at_least


def test_rules_seldom_send_away_what_could_have_stayed():
    rows = [row for row in data.by_hand("development") if row.label == "MODERATE"]

    stayed = [keyword_rules.decide(list(row.turns))[0] == "MODERATE" for row in rows]

    assert sum(stayed) / len(rows) >= 0.93


def test_no_text_is_made_to_be_read_for_long():
    pieces = [
        "$ ",
        "$a",
        "let ",
        "let x be ",
        "is ",
        "now ",
        "find all ",
        "prove ",
        "select ",
        "did ",
        "leite ",
        "\\",
        "∑",
        "python ",
        "latest ",
        "movie ",
        "zeige ",
    ]
    decided = threading.Event()

    def decide_all():
        for one, other in itertools.product(pieces, pieces):
            keyword_rules.decide(asked((one + other) * 5000))
        decided.set()

    threading.Thread(target=decide_all, daemon=True).start()

    assert decided.wait(HANG_GUARD_S)  # a second; one pattern that backtracks would take minutes
