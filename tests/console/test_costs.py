"""`make costs`: the table, and where its figures come from."""

from dataclasses import replace
from datetime import timedelta

import pytest

from accounting.costs import Costs
from accounting.ledger import Ledger
from console import costs, screen
from tests.support.ledger import CALL, CLOUD, LOCAL, NOW


@pytest.fixture
def table(tmp_path, capsys):
    """The lines that a pipe gets for recorded calls."""

    def printed(*calls, by=None, cloud=CLOUD):
        ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db")
        ledger.record(list(calls))
        told = Costs(ledger, "UTC", cloud)
        week = told.since("7d", NOW, by=by)
        screen.show(costs.shown(told.since(week["until"][:10], NOW, by=by), week))
        ledger.close()
        return capsys.readouterr().out.splitlines()

    return printed


def test_the_table_of_an_empty_ledger_is_short(table):
    assert table(cloud=None) == [
        "          calls  input  cached  output  reasoning     USD",
        "today         0      0       0       0          0  0.0000",
        "7 days        0      0       0       0          0  0.0000",
    ]


def test_the_table_of_one_group_is_the_sums_alone(table):
    lines = table(replace(CALL, key="mum"), LOCAL, by="key")

    assert [line.split()[:3] for line in lines] == [
        ["calls", "input", "cached"],
        ["today", "2", "2,000"],
        ["7", "days", "2"],
        [],
        ["key", "mum", "1"],
        ["key", "-", "1"],
    ]


def test_the_table_tells_today_the_week_and_what_might_have_been(table):
    speculative = replace(LOCAL, speculative=True)

    lines = table(
        CALL,
        LOCAL,
        replace(LOCAL, at=NOW - timedelta(days=2)),
        replace(speculative, saved_ms=4200),
        replace(speculative, outcome="cancelled", input_tokens=50, output_tokens=1),
        replace(CALL, provider="new", model="n-model", cost_usd=None, route=None, outcome="failed"),
    )

    assert lines == [
        "                      calls  input  cached  output  reasoning      USD",
        "today                     5  4,050       0     401          0   0.2500",
        "7 days                    6  5,050       0     501          0   0.2500",
        "",
        "provider  cloud           1  1,000       0     100          0   0.2500",
        "provider  local           4  3,050       0     301          0   0.0000",
        "provider  new             1  1,000       0     100          0  unknown",
        "",
        "model     c-model         1  1,000       0     100          0   0.2500",
        "model     builtin         4  3,050       0     301          0   0.0000",
        "model     n-model         1  1,000       0     100          0  unknown",
        "",
        "route     cloud           1  1,000       0     100          0   0.2500",
        "route     primary         4  3,050       0     301          0   0.0000",
        "route     -               1  1,000       0     100          0  unknown",
        "",
        "day       2026-03-29      1  1,000       0     100          0   0.0000",
        "day       2026-03-31      5  4,050       0     401          0   0.2500",
        "",
        "1 call without a known price, in no sum.",
        "All in the cloud (cloud, c-model): 0.0120 for 4 answered calls.",
        "Speculation: 1 of 2 calls adopted, which saved 4.2 s;",
        "1 cancelled and 0 failed, which wasted 51 tokens (0.0000).",
    ]
