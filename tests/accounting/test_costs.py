"""The questions people ask: what did it cost, by whom, by day, all in the cloud, and speculation."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from accounting import costs
from accounting.costs import Costs
from accounting.ledger import Ledger
from errors import BadRequest
from routing.router import Router
from settings import model as config
from settings.decisions import Decision
from settings.model import Provider
from tests.support.ledger import CALL, CLOUD, LOCAL, NOW
from tests.support.postgres import Postgres
from wire import usage as usages


@pytest.fixture(scope="module")
def server():
    made = Postgres().start()
    yield made
    made.remove()


@pytest.fixture(params=["sqlite", "postgres"])
def ledger(request, tmp_path):
    """An empty ledger, once in a file and once on a server."""
    if request.param == "sqlite":
        made = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    else:
        server = request.getfixturevalue("server")
        server.empty()
        made = Ledger(server.url)
    yield made
    made.close()


@pytest.fixture
def costs_of(ledger):
    """Records calls and gives the Costs over them."""

    def record(*calls, timezone="UTC", cloud=CLOUD):
        ledger.record(list(calls))
        return Costs(ledger, timezone, cloud)

    return record


def test_an_empty_ledger_is_told_in_full(costs_of):
    nothing = {"calls": 0, "cost_usd": 0.0, "unpriced_calls": 0, "estimated_calls": 0}
    no_tokens = {"input_tokens": 0, "cached_tokens": 0, "output_tokens": 0, "reasoning_tokens": 0}

    assert costs_of().since("7d", NOW) == {
        "since": "2026-03-24T12:00:00+00:00",
        "until": "2026-03-31T12:00:00+00:00",
        "total": {**nothing, **no_tokens},
        "providers": [],
        "models": [],
        "routes": [],
        "days": [],
        "all_cloud": {"provider": "cloud", "model": "c-model", "calls": 0, "cost_usd": 0.0},
        "speculation": {
            "calls": 0,
            "adopted": 0,
            "cancelled": 0,
            "failed": 0,
            "wasted_tokens": 0,
            "wasted_usd": 0.0,
            "saved_ms": 0,
        },
    }


def test_sums_are_by_provider_model_and_route_dearest_first(costs_of):
    report = costs_of(
        LOCAL, LOCAL, LOCAL, CALL, replace(CALL, cached_tokens=400, reasoning_tokens=60, estimated=True)
    ).since("7d", NOW)

    assert report["total"] == {
        "calls": 5,
        "cost_usd": 0.5,
        "unpriced_calls": 0,
        "estimated_calls": 1,
        "input_tokens": 5000,
        "cached_tokens": 400,
        "output_tokens": 500,
        "reasoning_tokens": 60,
    }
    assert [(sums["provider"], sums["calls"], sums["cost_usd"]) for sums in report["providers"]] == [
        ("cloud", 2, 0.5),
        ("local", 3, 0.0),
    ]
    assert [(sums["model"], sums["output_tokens"]) for sums in report["models"]] == [
        ("c-model", 200),
        ("builtin", 300),
    ]
    assert [(sums["route"], sums["calls"]) for sums in report["routes"]] == [("cloud", 2), ("primary", 3)]
    json.dumps(report)


def test_an_unknown_price_is_null_and_counted(costs_of):
    report = costs_of(replace(CALL, provider="new", cost_usd=None), CALL, replace(CALL, cost_usd=None)).since(
        "7d", NOW
    )

    assert (report["total"]["cost_usd"], report["total"]["unpriced_calls"]) == (0.25, 2)
    assert [(sums["provider"], sums["cost_usd"], sums["unpriced_calls"]) for sums in report["providers"]] == [
        ("cloud", 0.25, 1),
        ("new", None, 1),
    ]


def test_earlier_calls_are_left_out(costs_of):
    report = costs_of(
        replace(CALL, at=NOW - timedelta(days=7, microseconds=1)), replace(CALL, at=NOW - timedelta(days=7))
    ).since("7d", NOW)

    assert report["total"]["calls"] == 1


def test_days_are_those_of_the_configured_zone_when_the_clocks_change(costs_of):
    # In Berlin the 29th of March 2026 lasts from 23:00 to 22:00 UTC.
    moments = ("2026-03-28T22:59:59", "2026-03-28T23:00:00", "2026-03-29T21:59:59", "2026-03-29T22:00:00")
    recorded = [replace(CALL, at=datetime.fromisoformat(moment).replace(tzinfo=UTC)) for moment in moments]

    report = costs_of(*recorded, timezone="Europe/Berlin").since("7d", NOW)

    assert [(sums["day"], sums["calls"]) for sums in report["days"]] == [
        ("2026-03-28", 1),
        ("2026-03-29", 2),
        ("2026-03-30", 1),
    ]


def test_days_add_up_to_the_total_where_the_first_is_cut(costs_of):
    recorded = [replace(CALL, at=NOW - timedelta(hours=hours)) for hours in (1, 11, 13, 23, 25)]

    report = costs_of(*recorded).since("24h", NOW)

    assert [(sums["day"], sums["calls"]) for sums in report["days"]] == [("2026-03-30", 2), ("2026-03-31", 2)]
    assert report["total"]["calls"] == 4


def test_all_cloud_prices_every_answered_call_at_the_clouds_price(costs_of):
    unanswered = [
        replace(LOCAL, outcome="cancelled"),
        replace(LOCAL, outcome="failed"),
        replace(LOCAL, input_tokens=None, output_tokens=None),
    ]

    report = costs_of(LOCAL, replace(LOCAL, input_tokens=3001, output_tokens=7), CALL, *unanswered).since(
        "7d", NOW
    )

    assert report["all_cloud"] == {
        "provider": "cloud",
        "model": "c-model",
        "calls": 3,
        "cost_usd": 0.003 + 0.006072 + 0.003,
    }


def test_all_cloud_minds_the_steps_of_a_price(costs_of):
    claude = (
        "claude",
        Provider(kind="openai", model="claude-sonnet-4-5", base_url="https://api.anthropic.com/v1"),
    )
    short, long = (
        replace(LOCAL, input_tokens=150_000, output_tokens=0),
        replace(LOCAL, input_tokens=250_000, output_tokens=0),
    )

    both = costs_of(short, long, cloud=claude).since("7d", NOW)["all_cloud"]["cost_usd"]

    one_by_one = [
        costs.prices.cost_usd(claude[1], claude[1].model, usages.Usage(input_tokens=call.input_tokens))
        for call in (short, long)
    ]
    assert both == pytest.approx(sum(one_by_one))
    assert one_by_one[1] / one_by_one[0] > 2  # the long one is beyond a step


def test_all_cloud_is_null_where_its_price_is_unknown(costs_of):
    unlisted = ("new", Provider(kind="openai", model="n-model", base_url="https://llm.example.com/v1"))

    report = costs_of(LOCAL, cloud=unlisted).since("7d", NOW)

    assert report["all_cloud"] == {"provider": "new", "model": "n-model", "calls": 0, "cost_usd": None}


def test_all_cloud_is_null_without_a_cloud(costs_of):
    assert costs_of(CALL, cloud=None).since("7d", NOW)["all_cloud"] is None


def test_speculation_is_told_by_what_it_wasted_and_saved(costs_of):
    speculative = replace(LOCAL, speculative=True)
    adopted = [
        replace(speculative, saved_ms=12),
        replace(speculative, saved_ms=30),
        replace(speculative, saved_ms=8, outcome="failed"),
    ]
    cancelled = replace(speculative, outcome="cancelled", input_tokens=500, output_tokens=4, cost_usd=0.002)
    failed = replace(speculative, outcome="failed", input_tokens=None, output_tokens=None, cost_usd=None)

    report = costs_of(LOCAL, *adopted, cancelled, failed).since("7d", NOW)

    assert report["speculation"] == {
        "calls": 5,
        "adopted": 3,
        "cancelled": 1,
        "failed": 1,
        "wasted_tokens": 504,
        "wasted_usd": 0.002,
        "saved_ms": 50,
    }


# since=


@pytest.mark.parametrize(
    ("text", "start"),
    [
        (None, "2026-03-24T13:00:00+01:00"),
        ("", "2026-03-24T13:00:00+01:00"),
        ("7d", "2026-03-24T13:00:00+01:00"),
        ("24h", "2026-03-30T14:00:00+02:00"),
        ("2026-03-30", "2026-03-30T00:00:00+02:00"),
        ("2026-03-01", "2026-03-01T00:00:00+01:00"),
        ("2026-03-30T08:15", "2026-03-30T08:15:00+02:00"),
        ("2026-03-30 08:15", "2026-03-30T08:15:00+02:00"),
        ("2026-03-30T08:15:00Z", "2026-03-30T10:15:00+02:00"),
        ("2026-03-30T08:15:00+05:30", "2026-03-30T04:45:00+02:00"),
        ("2026-03-30T08:15:00 05:30", "2026-03-30T04:45:00+02:00"),  # the plus of a URL that was not escaped
    ],
)
def test_since_takes_a_date_a_moment_or_an_age(tmp_path, text, start):
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db")

    told = Costs(ledger, "Europe/Berlin", None).since(text, NOW)["since"]
    ledger.close()

    assert told == start


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "7",
        "-7d",
        "7w",
        "999999d",
        "2026-13-01",
        "0001-01-01",
        "2026-03-30T25:00",
        "٧d",
        "7d; DROP TABLE calls",
    ],
)
def test_any_other_since_is_the_clients_mistake(tmp_path, text):
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db")

    with pytest.raises(BadRequest) as refused:
        Costs(ledger, "Asia/Tokyo", None).since(text, NOW)
    ledger.close()

    assert (refused.value.status, refused.value.param) == (400, "since")


# Where all would have gone.


def config_with(chain):
    other = Provider(kind="openai", model="grok", base_url="https://api.x.ai/v1")
    providers = {"local": Provider(kind="mlx", model="builtin"), "cloud": CLOUD[1], "other": other}
    return config.Config(
        decisions=dict.fromkeys(Decision, "xai"),
        providers=providers,
        routes={"xai": config.Route(chain=chain)},
    )


@pytest.mark.parametrize(
    ("chain", "name"),
    [(["cloud", "other", "local"], "cloud"), (["local", "other", "cloud"], "other"), (["local"], None)],
)
def test_the_cloud_is_the_first_of_complexs_chain_that_is_not_local(chain, name):
    configured = config_with(chain)

    found = costs.cloud_of(Router(configured).cloud.chain, configured.providers)

    assert (found and found[0]) == name


# One group alone.


def test_a_single_group_can_be_asked_for(costs_of):
    costs = costs_of(replace(CALL, key="mum"), replace(LOCAL, key="kids"), replace(CALL, key="mum"), LOCAL)

    told = costs.since("7d", NOW, by="key")

    assert told.keys() == {"since", "until", "total", "keys"}
    assert [(sums["key"], sums["calls"], sums["cost_usd"]) for sums in told["keys"]] == [
        ("mum", 2, 0.5),
        (None, 1, 0.0),
        ("kids", 1, 0.0),
    ]
    assert told["total"]["calls"] == 4


@pytest.mark.parametrize("by", ["provider", "model", "route", "day"])
def test_so_can_each_group_of_the_whole_report(costs_of, by):
    costs = costs_of(CALL, LOCAL)

    assert costs.since("7d", NOW, by=by)[f"{by}s"] == costs.since("7d", NOW)[f"{by}s"]


def test_a_group_that_is_none_is_refused(costs_of):
    with pytest.raises(BadRequest, match="'by' must be one of provider, model, route, key, day"):
        costs_of().since("7d", NOW, by="moon")
